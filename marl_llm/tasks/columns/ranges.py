"""Ranges such as `10-20`, `$50,000 to $74,999`, `900 - 1,200 sqft`: the middle of each.

In: the text of a cell and a decimal mark. Out: the same text with one number for the two. Whether a
column holds ranges, and whether they are to be numbers, is decided in `numeric.py`. A delivered
`solution.py` holds what it needs of this module; it uses the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from marl_llm.tasks.columns.cells import BLANK, number_of

DIGITS = r"[0-9](?:[0-9.,'’]*[0-9])?"
RANGE = re.compile(
    rf"(?P<before>[^0-9]{{0,4}})(?P<low>{DIGITS})(?P<unit>{BLANK}?[^\W\d_]{{0,6}}|%)?{BLANK}?"
    rf"(?:[-–—‑]|\.\.\.?|(?:to|bis|a|até|à|and|und|e)(?={BLANK})){BLANK}?"
    rf"(?P<sign>[^0-9\s\-]{{0,3}}){BLANK}?(?P<high>{DIGITS})(?P<after>[^0-9]*)"
)
PADDED = re.compile("0[0-9]+")
_MANY = 20  # different ranges, or numbers beside them: fewer are a few classes


def middle_of(cell: str, mark: str) -> str:
    """The cell with the middle of its range; the cell itself where it holds none."""
    found = RANGE.fullmatch(cell)
    if found is None or found["sign"].strip() not in ("", found["before"].strip()):
        return cell
    low, high = number_of(found["low"], mark), number_of(found["high"], mark)
    unit, after = (found["unit"] or "").strip(), found["after"].strip()
    padded = any(
        len(text) > 1 and text[0] == "0" and text.isdecimal() for text in found.group(2, 6)
    )
    if not low < high or padded or (unit and unit != after.split(" ")[0]):
        return cell
    middle = f"{(low + high) / 2:.12g}".replace(".", mark)
    return f"{found['before']}{middle} {after}".strip()


def ranges_among(distinct: Sequence[str], mark: str) -> tuple[str, bool]:
    """The first range among different cells, "" if there is none or most cells are other text; and
    whether they are so many, or so few beside so many numbers, that they are amounts and no
    classes.
    """
    ranges = [cell for cell in distinct if middle_of(cell, mark) != cell]
    numbers = sum(number_of(cell, mark) == number_of(cell, mark) for cell in distinct)
    others = len(distinct) - len(ranges) - numbers
    if not ranges or 2 * others > len(ranges) + numbers or _descend(distinct):
        return "", False
    return ranges[0], len(ranges) >= _MANY or numbers >= _MANY


def _descend(distinct: Sequence[str]) -> bool:
    """Whether some would be ranges if their numbers rose: scores, codes, seasons."""
    marks = (".", ",")
    return any(
        RANGE.fullmatch(cell) and all(middle_of(cell, mark) == cell for mark in marks)
        for cell in distinct
    )
