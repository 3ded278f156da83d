"""The lines of a free reply: text goes in, its lines come out without what models put around an
answer (fences, bullets, labels, backticks), each with the names of what was taken off. What a line
means is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from marl_llm.core.forgiven import Forgiven
from marl_llm.proposals.text import outside_quotes, without_comment

LONGEST_LINE = 2000
"""Characters of a line that is looked into; a longer one is no action that anybody meant."""
_MOST_JOINED = 40
"""Lines that one action may be spread over."""
_MOST_PEELED = 6
"""Layers around an action, e.g. a bullet, a label, backticks."""
_BULLET = re.compile(r"(?:[-*•>]|#{1,4}|\d{1,2}[.)])\s+")
_LABEL = re.compile(
    r"[*_]*(?:(?:my|the|final|next|best|first|suggested|proposed|recommended|new|step|data) ){0,3}"
    r"(?:answer|action|proposal|suggestion|output|response|reply|result|command|scientist|assistant|\d{1,2})"
    r"[*_]*\s*(?::|\bis\b)[*_]*:?\s*",
    re.IGNORECASE,
)
_WRAPPED = re.compile(r"(\*\*|__|[`*\"'“”])(?P<inside>.+?)(?:\1|”)(?P<rest>[.;,]?|(?<=`)\s.*)$")


_FENCE = re.compile(r"```(?:\w*\s*$|(?:python|py|json|text)\s)?")
"""The mark, with a language behind it."""


@dataclass(frozen=True)
class Line:
    """One line of a reply, or several that one bracket holds together, and what was taken off
    around it.
    """

    text: str
    forgiven: frozenset[Forgiven] = frozenset()


def reply_lines(reply: str) -> list[Line]:
    """The lines of a reply that hold anything, in order, bare."""
    thought, mark, said = reply.rpartition("</think>")
    lines = [peeled(text, forgiven) for text, forgiven in _joined(_unfenced(said))]
    if mark and thought.strip():
        lines = [Line(line.text, line.forgiven | {Forgiven.prose}) for line in lines]
    return [line for line in lines if line.text]


def peeled(text: str, forgiven: frozenset[Forgiven] = frozenset()) -> Line:
    """The line without bullet, label, and quotation marks, backticks or asterisks around it."""
    for _ in range(_MOST_PEELED if len(text) <= LONGEST_LINE else 0):
        text = text.strip()
        if found := _BULLET.match(text):
            text, forgiven = text[found.end() :], forgiven | {Forgiven.bullet}
        elif (found := _LABEL.match(text)) and text[found.end() :].strip():
            text, forgiven = text[found.end() :], forgiven | {Forgiven.label}
        elif found := _WRAPPED.match(text):
            more = found["rest"].strip(" .;,")
            after = (Forgiven.quotes, Forgiven.prose) if more else (Forgiven.quotes,)
            text, forgiven = found["inside"], forgiven.union(after)
        else:
            break
    return Line(text.strip(), forgiven)


def open_brackets(text: str) -> int:
    """Brackets that are opened and not closed, outside of quotes; negative where more are
    closed.
    """
    return len(outside_quotes(text, "([{")) - len(outside_quotes(text, ")]}"))


def _unfenced(text: str) -> Iterator[tuple[str, frozenset[Forgiven]]]:
    """Lines without the marks of code fences."""
    inside = False
    for line in text.split("\n"):
        marks = line.count("```")
        rest = _FENCE.sub("", line) if marks else line
        if rest.strip() or not marks:
            yield rest, frozenset({Forgiven.fence}) if inside or marks else frozenset()
        inside = inside != (marks % 2 == 1)


def _joined(
    lines: Iterator[tuple[str, frozenset[Forgiven]]],
) -> Iterator[tuple[str, frozenset[Forgiven]]]:
    """Lines, with those that a bracket holds together made one; a bracket that is never closed
    holds nothing.
    """
    known = list(lines)
    at = 0
    while at < len(known):
        text, forgiven = known[at]
        end = _end_of_bracket([line for line, _ in known[at : at + _MOST_JOINED]])
        if end > 1:
            parts = [
                *(without_comment(line)[0].strip() for line, _ in known[at : at + end - 1]),
                known[at + end - 1][0],
            ]
            text, forgiven = " ".join(part.strip() for part in parts), forgiven | {Forgiven.wrapped}
        yield text, forgiven
        at += end


def _end_of_bracket(lines: list[str]) -> int:
    """Number of lines up to where the brackets of the first are closed; 1 where they never are, or
    by the first.
    """
    depth = 0
    for count, line in enumerate(lines, 1):
        depth += open_brackets(without_comment(line)[0])
        if depth <= 0:
            return count
        if not line.strip():
            break
    return 1
