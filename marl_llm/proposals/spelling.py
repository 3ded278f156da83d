"""From an action in a model's own spelling to the grammar's: one bare line goes in, the line that
the strict parser reads comes out, with the names of what was forgiven.

Only what is beyond doubt is respelled; anything else gives None, and the strict parser says what is
wrong with it. That names and values exist is not checked here.
"""

from __future__ import annotations

import re

from marl_llm.core.forgiven import Forgiven
from marl_llm.proposals.arguments import arguments, closing
from marl_llm.proposals.operations import analysis, operations
from marl_llm.proposals.reply_lines import LONGEST_LINE
from marl_llm.proposals.spec import ENSEMBLES
from marl_llm.proposals.synonyms import names_estimator
from marl_llm.proposals.text import without_comment

Found = set[Forgiven]
VERB = re.compile(
    r"(analy[sz]e|propose[ _-]?model|propose|tune|engineer[ _-]?features?|finish)(?!\w)",
    re.IGNORECASE,
)
_BY_LETTER = {
    "a": "analyze",
    "p": "propose_model",
    "t": "tune",
    "e": "engineer_features",
    "f": "finish",
}
_ASSIGNED = re.compile(r"[A-Za-z_]\w*\s*=(?!=)\s*")
_MODEL = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z][\w -]*)")


def respelled(line: str, forgiven: Found) -> str | None:
    """The line in the grammar's spelling, or None; `forgiven` is added to.

    Raises
    ------
    SyntaxError, ValueError, TypeError, RecursionError, MemoryError
        What stands in the line is no Python value.
    """
    found = VERB.match(line)
    if found is None or len(line) > LONGEST_LINE:
        return None
    verb = verb_of(found[1])
    if found[1].lower() != verb:
        forgiven.add(Forgiven.verb)
    elif found[1] != verb:
        forgiven.add(Forgiven.case)
    body, why = (
        without_comment(line[found.end() :]) if verb != "analyze" else (line[found.end() :], "")
    )
    body = _undressed(body, forgiven)
    text = _RESPELL[verb](body, forgiven)
    if text is None:
        return None
    return f"{verb} {text}".rstrip() + (f" # {why.strip()}" if why.strip() else "")


def verb_of(word: str) -> str:
    """The action that a word matched by `VERB` names."""
    return _BY_LETTER[word[0].lower()]


def _undressed(body: str, forgiven: Found) -> str:
    """What follows a name, without colon, brackets of a call, backticks, and the full stop of a
    sentence.
    """
    body = body.strip()
    if body.startswith(":"):
        body = body[1:].strip()
        forgiven.add(Forgiven.separator)
    if body[-1:] in (".", ";", ",", "!") and not re.search(
        r"(?<![.\d])\d+\.$", body
    ):  # `C=3.` is a number
        body = body[:-1].strip()
        forgiven.add(Forgiven.separator)
    if len(body) > 1 and body[0] == body[-1] == "`":
        body = body.strip("`").strip()
        forgiven.add(Forgiven.quotes)
    if body.startswith("(") and closing(body, 0) == len(body) - 1:
        body = body[1:-1].strip()
        forgiven.add(Forgiven.call)
    return body


def _finish(body: str, forgiven: Found) -> str | None:
    deliver = re.sub(r"^deliver\b[\s=:]*", "", body, flags=re.IGNORECASE).strip(" \"'")
    if deliver.lower() not in ("", "current", "best", "blend"):
        return None
    if body != deliver.lower():
        forgiven.add(Forgiven.case if body.lower() == deliver.lower() else Forgiven.call)
    return "" if deliver.lower() == "current" else deliver.lower()


def _tune(body: str, forgiven: Found) -> str | None:
    body = _ASSIGNED.sub("", body, count=1) if re.match(r"est\s*=", body) else body
    call = re.match(r"[A-Za-z]\w*\s*\(", body)
    if call and closing(body, call.end() - 1) == len(body) - 1:
        body = body[call.end() : -1]
    return arguments(body, forgiven) or None


def _propose(body: str, forgiven: Found) -> str | None:
    text = model(body, forgiven)
    return None if text is None else f"est = {text}"


def model(body: str, forgiven: Found) -> str | None:
    """An estimator with its parameters, however it is written, as `Name(parameter=value)`."""
    if assigned := _ASSIGNED.match(body):
        body = body[assigned.end() :]
    quoted = re.match(r"""(["'])([\w .-]+)\1""", body)
    if quoted:
        body = quoted[2] + body[quoted.end() :]
        forgiven.add(Forgiven.quotes)
    found = _MODEL.match(body)
    if found is None:
        return None
    name, rest = found[1].rstrip(), body[found.end() :]
    if ahead := re.search(r"\s+\w+$", found[1]) if re.match(r"\s*[=:]", rest) else None:
        name, rest = (
            found[1][: ahead.start()].rstrip(),
            f",{ahead.group()}{rest}",
        )  # Name parameter=value
    plain = re.sub(r"[ -]", "", name)
    if plain != name and not names_estimator(plain):
        return None
    if plain != name or found[0] != found[1]:
        forgiven.add(Forgiven.estimator_name)
    inside = _inside_call(rest, forgiven)
    if inside is None:
        return None
    if ensemble := ensemble_name(plain):
        forgiven |= {Forgiven.estimator_name} if ensemble != plain else set()
        return f"{ensemble}({inside})"
    return f"{plain}({arguments(inside, forgiven)})"


def ensemble_name(word: str) -> str | None:
    """The ensemble of earlier solutions that a word names, e.g. `Voting` for `VotingClassifier`;
    None for others.
    """
    plain = word.lower().removesuffix("classifier").removesuffix("regressor")
    return next((name for name in ENSEMBLES if name.lower() == plain), None)


def _inside_call(rest: str, forgiven: Found) -> str | None:
    """The arguments that follow an estimator's name; None where what follows is something else."""
    rest = rest.strip()
    if rest.startswith(","):
        forgiven.add(Forgiven.call)
        return rest[1:]
    if not rest.startswith("("):
        return "" if not rest else None
    end = closing(rest, 0)
    if end < 0:
        return None
    after = rest[end + 1 :].rstrip(" .;,`")
    if after:
        if not re.match(r"[.,;`]*\s", after) or re.search(r"[(){}\[\]=|]", after):
            return None
        if any(map(names_estimator, re.findall(r"\w+", after))):
            return None
        forgiven.add(Forgiven.prose)
    return rest[1:end]


_RESPELL = {
    "finish": _finish,
    "tune": _tune,
    "propose_model": _propose,
    "engineer_features": operations,
    "analyze": analysis,
}
