"""The lenient reader of the Data Scientist's reply: a free text goes in, the typed action comes out
with the names of what was forgiven.

It stands before the strict parser. What is already in the grammar is read by that parser alone and
nothing is forgiven. Otherwise the reply is searched for JSON, for lines that begin with an action,
for code spans, for one estimator that stands alone; what is found is respelled (`spelling.py`)
where its meaning is beyond doubt, and parsed strictly. A reply with two meanings is an error, never
a guess. Columns and values are checked later, by `applying.py`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from marl_llm.core.forgiven import Forgiven, in_order
from marl_llm.core.narrow import is_record
from marl_llm.proposals.actions import Action, InvalidAction
from marl_llm.proposals.arguments import closing
from marl_llm.proposals.canonical import FORMS, find_json, parse_action
from marl_llm.proposals.context import Context
from marl_llm.proposals.operations import operations
from marl_llm.proposals.reply_lines import Line, peeled, reply_lines
from marl_llm.proposals.settling import settled
from marl_llm.proposals.spelling import VERB, ensemble_name, model, respelled, verb_of
from marl_llm.proposals.synonyms import names_estimator

_EXACT = re.compile(rf"({'|'.join(FORMS)})(?!\w)")
_MENTION = re.compile(rf"\b({'|'.join(FORMS)})\b")
_SPAN = re.compile(r"`([^`\n]+)`")
_DOUBT = re.compile(
    r"\b(not|never|no|avoid|instead|or|could|might|may|if|unless|without|later|before|after)\b|n't",
    re.IGNORECASE,
)
"""Words that make an action mentioned in a sentence something else than what is asked for."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_PROGRAM = re.compile(
    r"^\s*(?:def|class) |Pipeline\(|make_pipeline\(|SearchCV|\bfor .+ in ", re.MULTILINE
)
_BARE = re.compile(r"(?:[A-Za-z_]\w*\s*=(?!=)\s*)?(?:[A-Za-z_]\w*\.)*([A-Za-z]\w*)\s*(\(|$)")
_REASONS = ("reason", "rationale", "explanation")
_MOST_DICTS = 20
_UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
"""What Python's own reader raises on text that holds no value."""


@dataclass(frozen=True)
class Reading:
    """A typed action, and what its reader forgave, in the order of `Forgiven`."""

    action: Action
    forgiven: tuple[Forgiven, ...] = ()


def read_action(reply: str, context: Context, current: str) -> Reading:
    """Read an action out of any model's reply.

    Parameters
    ----------
    reply : str
        The model's text.
    context : Context
        Kind of target and columns, for names that fit only one way.
    current : str
        Estimator of the current solution, which `tune` speaks of.

    Returns
    -------
    Reading
        Nothing is forgiven exactly where the reply is a line of the grammar.

    Raises
    ------
    InvalidAction
        There is no action, more than one meaning, or a field is wrong; one sentence from which it
        can be corrected.
    """
    forgiven: set[Forgiven] = set()
    action, line = _found(reply, forgiven)
    return Reading(settled(action, line, context, current, forgiven), in_order(forgiven))


def _found(reply: str, forgiven: set[Forgiven]) -> tuple[Action, str]:
    """The action, and the line it was read from ("" for JSON)."""
    bare = reply.strip()
    if "\n" not in bare and _EXACT.match(bare):
        try:
            return parse_action(bare), bare
        except InvalidAction:
            pass  # tried again below, where the same sentence is told if nothing can be made of it
    told = _json(reply, forgiven)
    if told is not None:
        return _told(told, forgiven)
    lines = reply_lines(reply)
    verbs = [i for i, line in enumerate(lines) if VERB.match(line.text)]
    if verbs:
        return _from_lines(lines, verbs, forgiven)
    spans = {
        m[1].strip()
        for m in _SPAN.finditer(reply)
        if _leads(m[1]) and not _DOUBT.search(_before(reply, m))
    }
    if len(spans) == 1:
        forgiven |= {Forgiven.quotes, Forgiven.prose}
        (span,) = spans
        return (
            (_from_line(Line(span), forgiven), span)
            if VERB.match(span)
            else (_bare(span, forgiven), "")
        )
    if found := [i for i, line in enumerate(lines) if _leads(line.text)]:
        return _alone(reply, lines, found, forgiven), ""
    if lines and (action := _operations_alone(lines[0], forgiven)) is not None:
        forgiven |= lines[0].forgiven | _around(0, len(lines))
        return action, ""
    return _mentioned(reply, forgiven), ""


def _operations_alone(line: Line, forgiven: set[Forgiven]) -> Action | None:
    """Feature operations without `engineer_features` before them; None where a line is not of them
    alone.
    """
    found = {Forgiven.verb}
    text = operations(line.text.rstrip(".;"), found)
    if text is None:
        return None
    try:
        action = parse_action(f"engineer_features {text}")
    except InvalidAction:
        return None
    forgiven |= found
    return action


def _leads(text: str) -> bool:
    """True for what begins like an action, or is an estimator."""
    return VERB.match(text.strip()) is not None or _is_bare(text.strip())


def _is_bare(text: str) -> bool:
    found = _BARE.match(text)
    if found is None:
        return False
    name = found[1]
    known = names_estimator(name) or ensemble_name(name) is not None
    return known and (found[2] == "(" or name[0].isupper())


def _before(reply: str, match: re.Match[str]) -> str:
    """What stands before a match on its line."""
    return reply[reply.rfind("\n", 0, match.start()) + 1 : match.start()]


def _from_lines(
    lines: Sequence[Line], verbs: Sequence[int], forgiven: set[Forgiven]
) -> tuple[Action, str]:
    """The first action of several lines; a sentence that happens to begin with its verb is passed
    over.
    """
    first: InvalidAction | None = None
    for at in verbs:
        tried: set[Forgiven] = set()
        try:
            action = _from_line(lines[at], tried)
        except InvalidAction as error:
            first = first or error
            if not _is_sentence(lines[at].text):
                break
            continue
        forgiven |= tried | _around(at, len(lines))
        return action, lines[at].text
    assert first is not None
    raise first


def _is_sentence(text: str) -> bool:
    return len(_WORD.findall(text)) > 3 and not re.search(r"[=(\[{:]", text)


def _around(at: int, count: int) -> set[Forgiven]:
    before, after = at > 0, at < count - 1
    told = ((Forgiven.prose, before), (Forgiven.more_lines, after))
    return {name for name, there in told if there}


def _from_line(line: Line, forgiven: set[Forgiven]) -> Action:
    """The action of one line; what was forgiven is added only if it can be read."""
    found = set(line.forgiven)
    if _EXACT.match(line.text):
        try:
            action = parse_action(line.text)
            forgiven |= found
            return action
        except InvalidAction:
            pass
    try:
        text = respelled(line.text, found)
    except _UNREADABLE:
        text = None
    action = parse_action(text) if text is not None else _refused(line.text)
    forgiven |= found
    return action


def _refused(text: str) -> Action:
    """Raises what is wrong with a line that cannot be respelled."""
    found = VERB.match(text)
    assert found is not None
    verb = verb_of(found[1])
    parse_action(f"{verb}{text[found.end() :]}")  # says what is wrong
    raise InvalidAction(f"it is not clear what {text!r:.60} asks for; write {FORMS[verb]}")


def _json(reply: str, forgiven: set[Forgiven]) -> dict[str, object] | None:
    """The first object with an `action`, of JSON or a Python dictionary."""
    found = find_json(reply) or _dictionary(reply)
    if found is None:
        return None
    value, start, end = found
    around = reply[:start] + reply[end:]
    outside = re.sub(r"```\w*", "", around)
    forgiven.add(Forgiven.json)
    if "```" in around:
        forgiven.add(Forgiven.fence)
    if outside.strip(" \n\t`"):
        forgiven.add(Forgiven.prose)
    return value


def _dictionary(reply: str) -> tuple[dict[str, object], int, int] | None:
    for match in list(re.finditer(r"\{", reply))[:_MOST_DICTS]:
        end = closing(reply, match.start())
        try:
            value: object = ast.literal_eval(reply[match.start() : end + 1]) if end > 0 else None
        except _UNREADABLE:
            continue
        if is_record(value) and "action" in value:
            return value, match.start(), end + 1
    return None


def _told(told: dict[str, object], forgiven: set[Forgiven]) -> tuple[Action, str]:
    """The action of an object; where its `action` is a whole line, of that line."""
    word = str(told["action"]).strip()
    if VERB.match(word) and not VERB.fullmatch(word):
        line = peeled(word)
        return _from_line(line, forgiven), line.text
    if VERB.fullmatch(word) and word not in FORMS:
        forgiven.add(Forgiven.case if word.lower() in FORMS else Forgiven.verb)
        told = {**told, "action": verb_of(word)}
    reasons = [name for name in _REASONS if name in told]
    if reasons:
        told = {name: value for name, value in told.items() if name not in reasons} | {
            "why": str(told[reasons[0]])
        }
    try:
        return parse_action(json.dumps(told)), ""
    except InvalidAction:
        raise
    except _UNREADABLE:
        raise InvalidAction("the object holds values that are no JSON") from None


def _bare(text: str, forgiven: set[Forgiven]) -> Action:
    """The proposal of an estimator that stands alone."""
    found = {Forgiven.bare_estimator}
    try:
        respelt = model(text, found)
    except _UNREADABLE:
        respelt = None
    action = parse_action(
        f"propose_model {text}" if respelt is None else f"propose_model est = {respelt}"
    )
    forgiven |= found
    return action


def _alone(
    reply: str, lines: Sequence[Line], found: Sequence[int], forgiven: set[Forgiven]
) -> Action:
    """The proposal of the one estimator in a reply without an action."""
    if _PROGRAM.search(reply):
        raise InvalidAction(f"propose one change, not a program: write {FORMS['propose_model']}")
    texts = [lines[at].text for at in found]
    named = {
        re.sub(r"\s", "", text[match.start(1) :]) for text in texts if (match := _BARE.match(text))
    }
    if len(named) > 1:
        raise InvalidAction(
            f"the reply names several models: propose one, {FORMS['propose_model']}"
        )
    if "(" not in lines[found[0]].text and len(lines) > 1:
        raise InvalidAction(
            f"a model's name in a text is no proposal: write {FORMS['propose_model']}"
        )
    action = _bare(lines[found[0]].text, forgiven)
    forgiven |= lines[found[0]].forgiven | _around(found[0], len(lines))
    return action


def _mentioned(reply: str, forgiven: set[Forgiven]) -> Action:
    """The one action that a sentence asks for."""
    mentions = list(_MENTION.finditer(reply))
    action = parse_action(reply)
    if (
        len(mentions) != 1
        or _DOUBT.search(_before(reply, mentions[0]))
        or _goes_on(reply, mentions[0])
    ):
        raise InvalidAction(
            f"a sentence is no action: answer with one line, e.g. {FORMS[mentions[0][1]]}"
        )
    forgiven.add(Forgiven.prose)
    return action


def _goes_on(reply: str, mention: re.Match[str]) -> bool:
    """True where `finish` is a word of a sentence that goes on."""
    after = reply[mention.end() :].split("\n", 1)[0]
    return mention[1] == "finish" and not re.fullmatch(r"\W*(?:current|best|blend)?\W*", after)
