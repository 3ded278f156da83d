"""The decimal mark of one column, where its numbers alone do not tell.

`1.642` is 1642 beside 927 in a file with decimal commas, and a coordinate beside -23.389. In: the
digits of a column, and which marks other columns of the file certainly have. Out: the mark, and a
remark where both readings are plausible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

_DIGITS = re.compile(r"[0-9.,'’][0-9.,'’ \u00a0\u2009\u202f]*")
_EITHER = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}")
_PLACES = re.compile(r"\b(lat|lon|lng|long|latitude|longitude|breite|länge|coord\w*)\b")
_SAMPLE = 300
_SOME = 3
_MANY = 10


def _certain(mark: str) -> re.Pattern[str]:
    """Digits that can be read under one decimal mark only."""
    other = "." if mark == "," else ","
    mark, other = re.escape(mark), re.escape(other)
    return re.compile(
        rf"[0-9]{{1,3}}(?:[{other} '’][0-9]{{3}})+{mark}[0-9]+"
        rf"|[0-9]*{mark}(?:[0-9]{{1,2}}|[0-9]{{4,}})"
        rf"|(?:0|[0-9]{{4,}}|){mark}[0-9]{{3}}|[1-9][0-9]{{0,2}}(?:{other}[0-9]{{3}}){{2,}}"
    )


_CERTAIN = {mark: _certain(mark) for mark in ".,"}


@dataclass(frozen=True)
class Marks:
    """What is known of the decimal marks of a file.

    Attributes
    ----------
    decimal : "." or ","
        Of the file as a whole.
    seen : frozenset of str
        Marks that some column certainly has.
    named : bool
        Whether people named the mark: then it is that of all columns that leave a choice.
    """

    decimal: str = "."
    seen: frozenset[str] = frozenset()
    named: bool = False

    @property
    def other(self) -> str:
        """The mark that the file as a whole has not."""
        return "," if self.decimal == "." else "."

    @classmethod
    def of(cls, frame: pd.DataFrame, decimal: str, named: bool) -> Marks:
        """Look through some cells of every column."""
        seen = set()
        if not named:
            step = max(1, len(frame) // _SAMPLE)
            some = frame.iloc[::step]
            for i in range(some.shape[1]):
                mark = certain_mark(digits_of(str(c) for c in some.iloc[:, i].dropna()))
                seen |= {mark} - {None}
        return cls(decimal, frozenset(str(mark) for mark in seen), named)


def digits_of(cells: Iterable[str]) -> list[str]:
    """The first number in each cell, its digits and marks only."""
    found = (_DIGITS.search(cell) for cell in cells)
    return [match[0].strip(" \u00a0\u2009\u202f") for match in found if match]


def certain_mark(digits: Sequence[str]) -> str | None:
    """The mark that some numbers certainly have and none certainly has not; None if there is no
    such mark.
    """
    certain = [
        mark for mark, form in _CERTAIN.items() if any(form.fullmatch(cell) for cell in digits)
    ]
    return certain[0] if len(certain) == 1 else None


def column_mark(digits: Sequence[str], marks: Marks, name: str) -> tuple[str, str | None]:
    """The decimal mark of a column, and a number that could be read in another way if that is
    plausible.

    Numbers of one to three digits, a mark and three digits leave a choice. Whole numbers below
    1000 beside them, and none above, say that the mark groups thousands. Else the mark means what
    it means in the rest of the file, but for coordinates. A mark that people named is obeyed.
    """
    certain = certain_mark(digits)
    if certain is not None or marks.named:
        return certain or marks.decimal, None
    doubtful = [cell for cell in digits if _EITHER.fullmatch(cell)]
    used = {cell.lstrip("0123456789")[0] for cell in doubtful}
    if len(used) != 1:
        return marks.decimal, None
    (mark,) = used
    other, example = "," if mark == "." else ".", doubtful[0]
    whole = [int(cell) for cell in digits if cell.isdecimal() and len(cell) < _MANY]
    rest = len(digits) - len(doubtful) - len(whole)
    grouping = bool(whole) and 100 <= max(whole) < 1000 and len(doubtful) >= _SOME and not rest
    if grouping:
        if marks.seen == {mark}:
            return mark, example if len(doubtful) >= _MANY else None
        return other, example if marks.decimal == mark else None
    if other not in marks.seen:
        return (mark if marks.seen else marks.decimal), None
    if _is_coordinate(doubtful, whole, mark, name):
        return mark, example
    return other, example if mark in marks.seen else None


def _is_coordinate(doubtful: Sequence[str], whole: Sequence[int], mark: str, name: str) -> bool:
    words = re.sub(r"[\W_]+", " ", name.casefold())
    if _PLACES.search(words):
        return True
    degrees = {int(cell.split(mark)[0]) for cell in doubtful}
    narrow = len(degrees) <= 2 and len(set(doubtful)) >= _MANY
    return mark == "." and not whole and narrow and max(degrees) <= 180
