"""Line edits in other people's notation: text goes in, the edited code comes out with the names of
what was forgiven.

Read are edits behind bullets, in backticks or after the word `line`, edits spread over several
lines, `9: text` and the like where every line has that form, and differences that quote the old
line. Where a form could mean prose as well, what comes out must be Python. Anything else gives
None.
"""

from __future__ import annotations

import re

from marl_llm.agents.edits import EditError, apply_edits, looks_like_edits
from marl_llm.agents.programs import is_python, is_statement
from marl_llm.core.forgiven import Forgiven
from marl_llm.proposals.reply_lines import open_brackets
from marl_llm.proposals.text import without_comment

Code = tuple[str, frozenset[Forgiven]]
_BULLET = re.compile(r"\s*[-*•]\s+(?=`?\s*(?:line\s+)?\d)", re.IGNORECASE)
_LABEL = re.compile(r"\s*line\s+(?=\d)", re.IGNORECASE)
_TICKS = re.compile(r"\s*(`{1,2})(.+)\1\s*$")
_UNSIGNED = re.compile(r"\s*([0-9]{1,6})(?:\s*[:.)](?!\d)|(?=\s))\s?(.*)$")
_ARROW = re.compile(r"\s*`?\s*(?:->|=>|→|-->)\s*`?\s*")
_DIFF = re.compile(
    r"\s*(?:(?P<first>[+-])\s*(?:[0-9]{1,6}(?=\s))?|[0-9]{1,6}\s+(?P<second>[+-]))(?P<text>.*)$"
)
_DIFF_NOISE = re.compile(r"\s*(?:@@|---|\+\+\+|diff |index )")


def free_edits(text: str, current: str) -> Code | None:
    """The code after edits that are written freely."""
    found: set[Forgiven] = set()
    lines = _joined([_bare(line, found) for line in text.strip("\n").split("\n")], found)
    edits = [line for line in lines if looks_like_edits(line)]
    if edits and any(lacks_sign(line, current) for line in lines):
        return None
    if edits:
        lines = _between_prose(lines, found)
        edits = [_new_text(line, current, found) for line in lines if line.strip()]
        needs_check = bool(found & {Forgiven.prose, Forgiven.diff})
    else:
        edits, needs_check = _signed([line for line in lines if line.strip()]), True
        found.add(Forgiven.edit_sign)
    code = _applied(edits, current)
    if code is None or (needs_check and not _is_program(code)):
        return None
    return code, frozenset(found)


def _applied(edits: list[str], current: str) -> str | None:
    try:
        return apply_edits(current, "\n".join(edits)) if edits else None
    except EditError:
        return None


def _is_program(code: str) -> bool:
    return "def build_pipeline" in code and is_python(code)


def _bare(line: str, found: set[Forgiven]) -> str:
    """A line without bullet, backticks and the word `line`, where an edit follows."""
    for pattern, what in ((_BULLET, Forgiven.bullet), (_LABEL, Forgiven.label)):
        if match := pattern.match(line):
            line = line[match.end() :]
            found.add(what)
        if (ticks := _TICKS.match(line)) and "`" not in ticks[2]:
            line = ticks[2]
            found.add(Forgiven.quotes)
    return line


def _joined(lines: list[str], found: set[Forgiven]) -> list[str]:
    """Edits whose brackets are closed on later lines, as one line each."""
    out: list[str] = []
    for line in lines:
        goes_on = out and looks_like_edits(out[-1]) and open_brackets(out[-1]) > 0
        if (
            goes_on
            and line.strip()
            and not looks_like_edits(line)
            and not _opens_on_purpose(out[-1])
        ):
            held, more = without_comment(out[-1])[0].rstrip(), without_comment(line)[0].strip()
            out[-1] = f"{held} {more}".rstrip()
            found.add(Forgiven.wrapped)
        else:
            out.append(line)
    return out


def _opens_on_purpose(line: str) -> bool:
    """`prep = make_column_transformer(` is a whole line of the code."""
    return line.rstrip().endswith("make_column_transformer(")


def _between_prose(lines: list[str], found: set[Forgiven]) -> list[str]:
    """The lines from the first edit to the last, and what follows if that is code."""
    at = [i for i, line in enumerate(lines) if looks_like_edits(line)]
    last = len(lines) if any(map(is_statement, lines[at[-1] + 1 :])) else at[-1] + 1
    if any(line.strip() for line in (*lines[: at[0]], *lines[last:])):
        found.add(Forgiven.prose)
    return lines[at[0] : last]


def _new_text(line: str, current: str, found: set[Forgiven]) -> str:
    """An edit that quotes the old line before an arrow, without that."""
    match = re.match(r"(\s*([0-9]{1,6})\s*=\s*`?\s*)(.*)$", line)
    lines = current.split("\n")
    if match is None or not 1 <= int(match[2]) <= len(lines):
        return line
    old = lines[int(match[2]) - 1].strip()
    arrow = _ARROW.match(match[3], len(old)) if old and match[3].startswith(old) else None
    if arrow is None:
        return line
    found.add(Forgiven.diff)
    return f"{match[2]} = {match[3][arrow.end() :].rstrip('` ')}"


def lacks_sign(line: str, current: str) -> bool:
    """True for an edit such as `9: text` that has no sign, unless it only quotes the line as it
    stands.
    """
    match = _UNSIGNED.match(line)
    quoted = match is not None and match[2].strip() in [old.strip() for old in current.split("\n")]
    return match is not None and not quoted and is_statement(match[2])


def _signed(lines: list[str]) -> list[str]:
    """`9: text` as `9 = text`, if every line has that form; none otherwise."""
    found = [match for match in map(_UNSIGNED.match, lines) if match and match[2].strip()]
    return [f"{match[1]} = {match[2]}" for match in found] if len(found) == len(lines) else []


def diff_edits(text: str, current: str) -> Code | None:
    """The code after a difference: each removed line stands just once in the code, added lines
    follow removed ones.
    """
    old = current.split("\n")
    bare = [line.strip() for line in old]
    edits: list[str] = []
    at: int | None = None
    for line in text.strip("\n").split("\n"):
        match = _DIFF.match(line) if not _DIFF_NOISE.match(line) else None
        if match is None:
            if line.strip() and not _DIFF_NOISE.match(line) and line.strip() not in bare:
                return None
            at = None
        elif (match["first"] or match["second"]) == "-":
            removed = match["text"].strip()
            if not removed or bare.count(removed) != 1:
                return None
            at = bare.index(removed) + 1
            edits.append(f"{at} -")
        elif at is None:
            return None
        else:
            replaces = edits[-1] == f"{at} -"
            edits.append(f"{at} {'=' if replaces else '+'} {match['text'].strip()}")
            edits = [*edits[:-2], edits[-1]] if replaces else edits
    code = _applied(edits, current)
    return (code, frozenset({Forgiven.diff})) if code is not None and _is_program(code) else None
