"""Line edits: the short form of the Engineer's answer, against the numbered current code.

`9 = est = Ridge(alpha=0.3)` replaces line 9, `6 + (LOG, ["x0"]),` inserts after line 6, `7 -`
deletes line 7. Numbers always mean lines of the code as it stands in the prompt. Indentation
follows the line replaced or inserted after.
"""

from __future__ import annotations

import difflib
import re

_EDIT = re.compile(r"^\s*([0-9]{1,6})\s*([=+-])(?:\s?(.*))?$")


class EditError(ValueError):
    """The edits cannot be applied; the message is one short sentence for the Engineer."""


def numbered(code: str) -> str:
    """The code with line numbers from 1, as the prompt shows it."""
    return "\n".join(f"{i} {line}" for i, line in enumerate(code.split("\n"), 1))


def line_edits(old: str, new: str) -> str:
    """The edits that turn `old` into `new`; "" when they are equal."""
    a, b = old.split("\n"), new.split("\n")
    edits: list[str] = []
    for op, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if op == "equal":
            continue
        shared = min(i2 - i1, j2 - j1)
        edits += [f"{i1 + k + 1} = {b[j1 + k].strip()}" for k in range(shared)]
        edits += [f"{k + 1} -" for k in range(i1 + shared, i2)]
        edits += [f"{i1 + shared} + {b[k].strip()}" for k in range(j1 + shared, j2)]
    return "\n".join(edits)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _opens(line: str) -> bool:
    return line.rstrip().endswith(("(", "[", "{", ":"))


def looks_like_edits(text: str) -> bool:
    """True if the first non-empty line is an edit."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    return _EDIT.match(first) is not None


def apply_edits(old: str, text: str) -> str:
    """Apply line edits to a code.

    Parameters
    ----------
    old : str
        The code as it was numbered in the prompt.
    text : str
        One edit per line; empty lines are ignored.

    Raises
    ------
    EditError
        A line is no edit, or its number is not in the code.
    """
    lines = old.split("\n")
    replaced: dict[int, str] = {}
    inserted: dict[int, list[str]] = {}
    for raw in text.strip("\n").split("\n"):
        if not raw.strip():
            continue
        number, sign, content = _read(raw, len(lines))
        if sign == "+":
            reference = lines[number - 1] if number else ""
            step = "    " if number and _opens(reference) else ""
            inserted.setdefault(number, []).append(_indent(reference) + step + content.strip())
        else:
            replaced[number] = "" if sign == "-" else _indent(lines[number - 1]) + content.strip()
    return _assemble(lines, replaced, inserted)


def _read(raw: str, last: int) -> tuple[int, str, str]:
    match = _EDIT.match(raw)
    if match is None:
        raise EditError(f"not an edit: {raw.strip()!r:.60}")
    number, sign, content = int(match[1]), match[2], match[3] or ""
    if not (0 if sign == "+" else 1) <= number <= last:
        raise EditError(f"there is no line {number}, the code has {last}")
    return number, sign, content


def _assemble(lines: list[str], replaced: dict[int, str], inserted: dict[int, list[str]]) -> str:
    out = list(inserted.get(0, []))
    for i, line in enumerate(lines, 1):
        if i not in replaced:
            out.append(line)
        elif replaced[i].strip():
            out.append(replaced[i])
        out += inserted.get(i, [])
    return "\n".join(out)
