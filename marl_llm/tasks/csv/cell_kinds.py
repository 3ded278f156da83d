"""What a cell looks like at first sight: a value (number, date), a word, nothing.

In: text. Out: yes or no. It tells rows of data from headers, units, totals and notes; what the
cells of a column mean is decided in `columns`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from marl_llm.tasks.columns.cells import NUMBER, number_of
from marl_llm.tasks.columns.date_order import DAY_FIRST, MONTH_FIRST
from marl_llm.tasks.columns.dates import date_of
from marl_llm.tasks.columns.junk import is_usual
from marl_llm.tasks.columns.typed import MISSING_WORDS

_BEGINS_WITH_DIGIT = re.compile(r"[\s<>≤≥=~±+\-\u2212(€£¥$.,']*(?:R\$|US\$|[A-Z]{3} )?\s*[.,]?\d")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SHARE, _LEAST, _MOST_ROWS = 0.9, 3, 60


def no_value(cell: str) -> bool:
    """Whether a cell is empty or holds one of the usual words for missing."""
    return (cell := cell.strip()) in MISSING_WORDS or is_usual(cell)


def is_word(cell: str) -> bool:
    """Whether a cell holds a word."""
    return _WORD.search(cell) is not None


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a date, however it is written."""
    return not math.isnan(value_of(cell))


def value_of(cell: str) -> float:
    """The number in a cell, or the days since 1970-01-01 of its date; NaN if it is neither."""
    cell = cell.strip()
    for mark in NUMBER:
        if not math.isnan(number := number_of(cell, mark)):
            return number
    days = date_of(cell, DAY_FIRST) if cell else math.nan
    return date_of(cell, MONTH_FIRST) if cell and math.isnan(days) else days


def like_value(cell: str) -> bool:
    """Whether a cell begins like a number or a date, unit or flag beside it: `74 bhp`, `<0.5`."""
    return _BEGINS_WITH_DIGIT.match(cell) is not None


def value_columns(rows: Sequence[Sequence[str]], width: int) -> list[bool]:
    """Which columns hold values in nearly all of their cells; rows of another width do not count,
    and of many rows some that are spread over them.
    """
    fitting = [row for row in rows if len(row) == width]
    fitting = fitting[:: max(1, len(fitting) // _MOST_ROWS)]
    return [_holds_values([row[i] for row in fitting]) for i in range(width)]


def _holds_values(cells: Sequence[str]) -> bool:
    present = [cell for cell in cells if not no_value(cell)]
    if len(present) < _LEAST:
        return False
    return sum(like_value(cell) or is_value(cell) for cell in present) >= _SHARE * len(present)
