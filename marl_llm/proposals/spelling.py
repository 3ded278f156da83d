"""From an action in a model's own spelling to the grammar's: one bare line goes in, the line that the strict parser
reads comes out, with the names of what was forgiven.

Only what is beyond doubt is respelled; anything else gives None, and the strict parser says what is wrong with it. That
names and values exist is not checked here.
"""

from __future__ import annotations

import ast
import json
import re
import string

from marl_llm.forgiven import Forgiven
from marl_llm.proposals.features import EXTRA_OPS
from marl_llm.proposals.reply_lines import LONGEST_LINE
from marl_llm.proposals.spec import ENSEMBLES
from marl_llm.proposals.synonyms import names_estimator, operation_word
from marl_llm.proposals.text import outside_quotes, without_comment
from marl_llm.syntax import parse_expression

Found = set[Forgiven]
VERB = re.compile(r"(analy[sz]e|propose[ _-]?model|propose|tune|engineer[ _-]?features?|finish)(?!\w)", re.IGNORECASE)
_BY_LETTER = {"a": "analyze", "p": "propose_model", "t": "tune", "e": "engineer_features", "f": "finish"}
_METHODS = ("impute", "scale", "encode", "select", "pca", "reduce")
_OPERATION = re.compile(r"\s*([A-Za-z][\w-]*)(?=[\s(\[:=])")
_KEYWORD = re.compile(r"([A-Za-z]\w*)\s*[=:]\s*")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*\s*=(?!=)\s*")
_MODEL = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z][\w -]*)")
_ALIAS = re.compile(r"[xt]\d+", re.IGNORECASE)
_LETTERS = string.ascii_letters + string.digits
_WORDS = {"none": None, "null": None, "true": True, "false": False}


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
    body, why = without_comment(line[found.end() :]) if verb != "analyze" else (line[found.end() :], "")
    body = _undressed(body, forgiven)
    text = _RESPELL[verb](body, forgiven)
    if text is None:
        return None
    return f"{verb} {text}".rstrip() + (f" # {why.strip()}" if why.strip() else "")


def verb_of(word: str) -> str:
    """The action that a word matched by `VERB` names."""
    return _BY_LETTER[word[0].lower()]


def _undressed(body: str, forgiven: Found) -> str:
    """What follows a name, without colon, brackets of a call, backticks, and the full stop of a sentence."""
    body = body.strip()
    if body.startswith(":"):
        body = body[1:].strip()
        forgiven.add(Forgiven.separator)
    if body[-1:] in (".", ";", ",", "!") and not re.search(r"(?<![.\d])\d+\.$", body):  # `C=3.` is a number
        body = body[:-1].strip()
        forgiven.add(Forgiven.separator)
    if len(body) > 1 and body[0] == body[-1] == "`":
        body = body.strip("`").strip()
        forgiven.add(Forgiven.quotes)
    if body.startswith("(") and closing(body, 0) == len(body) - 1:
        body = body[1:-1].strip()
        forgiven.add(Forgiven.call)
    return body


def closing(text: str, start: int) -> int:
    """Where the bracket at `start` is closed, outside of quotes; -1 if it is not."""
    depth = 0
    for at in outside_quotes(text, "()[]{}"):
        if at >= start:
            depth += 1 if text[at] in "([{" else -1
            if depth == 0:
                return at
    return -1


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
        name, rest = found[1][: ahead.start()].rstrip(), f",{ahead.group()}{rest}"  # Name parameter=value
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
    """The ensemble of earlier solutions that a word names, e.g. `Voting` for `VotingClassifier`; None for others."""
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


def arguments(text: str, forgiven: Found) -> str:
    """Keyword arguments as Python writes them: of `name: value`, of a dictionary, with words for texts.

    Raises SyntaxError, ValueError, RecursionError or MemoryError where there is no telling.
    """
    text = text.strip().rstrip(",")
    node = _keywords(text, forgiven)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("positional arguments")
    pairs = [pair for keyword in node.keywords for pair in _pairs(keyword, forgiven)]
    return ", ".join(f"{name}={ast.unparse(_value(value, forgiven))}" for name, value in pairs)


def _keywords(text: str, forgiven: Found) -> ast.Call:
    if text.startswith("{") and closing(text, 0) == len(text) - 1:
        forgiven.add(Forgiven.json)
        return _call(f"params={text}")
    try:
        return _call(text)
    except SyntaxError:
        forgiven.add(Forgiven.separator)
        return _call(_with_commas(text))


def _with_commas(text: str) -> str:
    """`a: 1 b = 2` as `a=1, b=2`; inside brackets and quotes nothing changes."""
    spots = [m for m in _KEYWORD.finditer(text) if not _inside(text, m.start())]
    if not spots or text[: spots[0].start()].strip():
        return text
    ends = [*(spot.start() for spot in spots[1:]), len(text)]
    values = (text[spot.end() : end].strip().rstrip(",;").rstrip() for spot, end in zip(spots, ends, strict=True))
    return ", ".join(f"{spot[1]}={value}" for spot, value in zip(spots, values, strict=True))


def _inside(text: str, at: int) -> bool:
    """True within brackets or quotes."""
    before = text[:at]
    opened = len(outside_quotes(before, "([{")) - len(outside_quotes(before, ")]}"))
    return opened > 0 or at not in outside_quotes(text, text[at])


def _call(text: str) -> ast.Call:
    node = parse_expression(f"_({text})").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("no arguments")
    return node


def _pairs(keyword: ast.keyword, forgiven: Found) -> list[tuple[str, ast.expr]]:
    """The parameters of one keyword: itself, or what a dictionary `params` holds."""
    if keyword.arg not in ("params", "parameters", "hyperparameters") or not isinstance(keyword.value, ast.Dict):
        return [(str(keyword.arg), keyword.value)]
    forgiven.add(Forgiven.json)
    names = [ast.literal_eval(key) if isinstance(key, ast.Constant) else None for key in keyword.value.keys]
    if not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise ValueError("names of parameters are texts")
    return list(zip(map(str, names), keyword.value.values, strict=True))


def _value(node: ast.expr, forgiven: Found) -> ast.expr:
    """A word that Python does not know is a text."""
    if not isinstance(node, ast.Name):
        return node
    forgiven.add(Forgiven.quotes)
    return ast.Constant(_WORDS.get(node.id.lower(), node.id))


def _features(body: str, forgiven: Found) -> str | None:
    ops = [_op(part, forgiven) for part in _op_parts(body, forgiven)]
    return None if not ops or None in ops else "; ".join(map(str, ops))


def _op_parts(body: str, forgiven: Found) -> list[str]:
    """The operations of a list, also where commas part them."""
    edges = []
    for at in outside_quotes(body, ";,"):
        if body[at] == ";":
            edges.append(at)
        elif not _inside(body, at) and _known_op(body[at + 1 :]):
            edges.append(at)
            forgiven.add(Forgiven.separator)
    starts = [0, *(at + 1 for at in edges)]
    parts = (body[a:b].strip() for a, b in zip(starts, [*edges, len(body)], strict=True))
    return [part for part in parts if part]


def _known_op(text: str) -> bool:
    found = _OPERATION.match(text)
    return found is not None and operation_word(found[1]) in (*_METHODS, *EXTRA_OPS, "drop")


def _op(part: str, forgiven: Found) -> str | None:
    found = _OPERATION.match(part)
    if found is None or not _known_op(part):
        return None
    op, rest = operation_word(found[1]), part[found.end() :].strip()
    if found[1] != found[1].lower():
        forgiven.add(Forgiven.case)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].strip()
        forgiven.add(Forgiven.separator)
    if rest.startswith("(") and closing(rest, 0) == len(rest) - 1:
        rest = rest[1:-1].strip()
        forgiven.add(Forgiven.call)
    if keyword := re.match(r"(?:columns?|cols?|features?|strategy|method|k|variance|n_components)\s*=\s*", rest):
        rest = rest[keyword.end() :]
        forgiven.add(Forgiven.call)
    if op in _METHODS:
        word = rest.strip("\"'` ")
        return f"{op} {word}" if re.fullmatch(r"[\w.-]+", word) else None
    columns = _columns(rest, forgiven)
    return f"{op} {json.dumps(columns)}" if columns else None


def _columns(text: str, forgiven: Found) -> list[str] | None:
    """Columns of a list with or without brackets and quotes; None where brackets remain."""
    text = text.strip()
    bracketed = text[:1] in ("[", "(", "{") and closing(text, 0) == len(text) - 1
    text = text[1:-1] if bracketed else text
    edges = [at for at in outside_quotes(text, ",") if not _inside(text, at)]
    starts = [0, *(at + 1 for at in edges)]
    columns = [text[a:b].strip().strip("\"'`") for a, b in zip(starts, [*edges, len(text)], strict=True)]
    spaced = [name for name in re.split(r"[\s,]+(?:and\s+)?", text.strip()) if name]
    if len(spaced) > len(columns) and all(_ALIAS.fullmatch(name) for name in spaced):
        columns = spaced
        forgiven.add(Forgiven.separator)
    columns = [name for name in columns if name]
    if bracketed and columns and len(outside_quotes(text, _LETTERS)):
        forgiven.add(Forgiven.quotes)
    return None if any(re.search(r"[\[\](){}]", name) for name in columns) else columns


def _analyze(body: str, forgiven: Found) -> str | None:
    found = re.match(r"""(["'`]?)([A-Za-z]+)\1\s*""", body)
    if found is None:
        return None
    query, rest = found[2].lower(), body[found.end() :].lstrip(":,").strip()
    if query == "code":
        return f"code {rest}"
    if query != found[2]:
        forgiven.add(Forgiven.case)
    if link := re.match(r"(?:of|on|for|in|columns?)\s*(?:=|\s)\s*", rest):
        rest = rest[link.end() :]
        forgiven.add(Forgiven.prose)
    columns = _columns(rest, forgiven)
    if columns is None:
        return None
    return f"{query} {json.dumps(columns)}" if columns else query


_RESPELL = {
    "finish": _finish,
    "tune": _tune,
    "propose_model": _propose,
    "engineer_features": _features,
    "analyze": _analyze,
}
