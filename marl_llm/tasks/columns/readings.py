"""The table of readings: by name, the function that makes values of the cells of a column.

Each takes the text of cells and the parameters that were decided for the column, and returns one
value per cell: float64, or object of str. The part below the mark stands in every delivered
`solution.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from marl_llm.tasks.columns.cells import numbers_of
from marl_llm.tasks.columns.dates import dates_of
from marl_llm.tasks.columns.durations import durations_of
from marl_llm.tasks.columns.quantities import beside_of, quantities_of

# ---- solution.py goes on from here ----

EXCEL_EPOCH = 25_569  # 1970-01-01, as Excel counts days
EARLIEST, LATEST = -7_305, 39_431  # of Excel's days among other dates: 1950 and 2077


def excel_dates_of(cells: Sequence[str], mark: str) -> np.ndarray:
    """Days since 1970-01-01 of Excel's day numbers, which count from the end of 1899."""
    return numbers_of(cells, mark) - EXCEL_EPOCH


def mixed_dates_of(cells: Sequence[str], order: str) -> np.ndarray:
    """Days since 1970-01-01 of dates, and of Excel's day numbers from 1950 to 2077 among them."""
    days, excel = dates_of(cells, order), excel_dates_of(cells, ".")
    excel[(excel < EARLIEST) | (excel > LATEST)] = np.nan
    return np.where(np.isnan(days), excel, days)


def words_of(cells: Sequence[str]) -> np.ndarray:
    """The cells as they stand; object."""
    return np.array([*cells, None], dtype=object)[:-1]


def booleans_of(cells: Sequence[str]) -> np.ndarray:
    """True and False, however they are capitalised; object."""
    return np.array([*map(str.capitalize, cells), None], dtype=object)[:-1]


READINGS: dict[str, Callable[..., Any]] = {
    "number": numbers_of,
    "quantity": quantities_of,
    "beside": beside_of,
    "duration": durations_of,
    "date": dates_of,
    "mixed date": mixed_dates_of,
    "excel date": excel_dates_of,
    "text": words_of,
    "boolean": booleans_of,
}
