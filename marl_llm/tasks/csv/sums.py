"""Whether the numbers of a row sum up those of others.

In: columns of text and a decimal mark. Out: how many numbers of a row are the sum, mean, count,
minimum, maximum, median or standard deviation of the rows it may stand for: all others, those above
it, or those above it up to the last such row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from marl_llm.tasks.columns.cells import numbers_of

_MOST_COLUMNS = 12
_FAR = 3.0  # times the largest value of a column
_STATISTICS: tuple[Callable[[np.ndarray], float], ...] = (
    np.mean,
    np.median,
    np.min,
    np.max,
    len,
    lambda numbers: float(np.std(numbers, ddof=1)),
)


class Sums:
    """The numbers of some columns of a table."""

    def __init__(self, table: pa.Table, columns: Sequence[int], decimal: str) -> None:
        self._table = table
        self._columns = columns[:_MOST_COLUMNS]
        self._decimal = decimal

    @cached_property
    def numbers(self) -> np.ndarray:
        """float64, shape (rows, columns), NaN where there is no number."""
        return np.column_stack(
            [self._read(i) for i in self._columns] or [np.empty((self._table.num_rows, 0))]
        )

    def _read(self, i: int) -> np.ndarray:
        encoded = self._table.column(i).combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0)
        values = numbers_of(encoded.dictionary.to_pylist(), self._decimal)
        return values[encoded.indices.to_numpy(zero_copy_only=False)]

    def matches(self, position: int, summaries: np.ndarray, statistics: bool) -> tuple[int, int]:
        """How many numbers of a row can be checked, and how many of them are the sum of other rows,
        the `summaries` aside; or with `statistics` a mean, count or the like.
        """
        checked = matched = 0
        others = np.ones(len(self.numbers), dtype=bool)
        others[summaries] = False
        before = summaries[summaries < position]
        since = int(before[-1]) + 1 if len(before) else 0
        for column in range(self.numbers.shape[1]):
            value = self.numbers[position, column]
            if not np.isfinite(value) or value == 0:
                continue
            checked += 1
            slices = (slice(since, position), slice(0, position), slice(None))
            matched += any(
                _sums_up(value, self.numbers[rows, column][others[rows]], statistics)
                for rows in slices
            )
        return checked, matched

    def exceeds(self, position: int, summaries: np.ndarray) -> bool:
        """Whether a number of a row is far above all others of its column."""
        others = np.delete(np.abs(self.numbers), summaries, axis=0)
        with np.errstate(invalid="ignore"):
            largest = np.nanmax(np.where(np.isnan(others), 0, others), axis=0, initial=0)
            return bool((np.abs(self.numbers[position]) > _FAR * largest).any())


def _sums_up(value: float, numbers: np.ndarray, statistics: bool) -> bool:
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) < 2:
        return False
    step = 10.0 ** -_decimals(value)
    total = float(numbers.sum())
    if abs(value - total) <= step * (0.51 + 0.3 * np.sqrt(len(numbers))) + 1e-9 * abs(total):
        return True
    return statistics and any(
        abs(value - statistic(numbers)) <= 0.51 * step for statistic in _STATISTICS
    )


def _decimals(value: float) -> int:
    """Digits behind the decimal mark, as far as they can be told."""
    return next(
        (d for d in range(7) if abs(round(value, d) - value) < 1e-9 * max(1, abs(value))), 7
    )
