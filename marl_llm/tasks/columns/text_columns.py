"""The cells of a column as text, every different value once; and what makes text free text.

In: a column of any dtype and the words that mean missing. Out: `Cells`. What the values mean is
decided in `columns.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

_arrow: Any = (
    pyarrow.compute
)  # its functions are made when it is imported: checkers do not see them
_WORD = re.compile(r"[^\W\d_]{2,}")
_WORDS_OF_TEXT = 2.0
_LOOKED_AT = 1_000
_MANY_VALUES, _MANY_SHARE, _MOST = 50, 0.2, 0.5


class Cells:
    """Stripped text of a column, without what is missing.

    Attributes
    ----------
    rows : int
        All of them, with the missing ones.
    """

    def __init__(self, text: pa.ChunkedArray, raw: pa.ChunkedArray) -> None:
        self.rows = len(text)
        self._text = text
        self._raw = raw

    @classmethod
    def of(cls, values: pd.Series, missing: frozenset[str]) -> Cells:
        """The cells of a column of any dtype; whole floats are written without the point."""
        if isinstance(values.dtype, pd.ArrowDtype) and pa.types.is_string(
            values.dtype.pyarrow_dtype
        ):
            text = pa.chunked_array(pa.array(values))
        else:
            text = pa.chunked_array([pa.array(_strings(values), pa.string())])
        text = _arrow.utf8_trim_whitespace(text)
        empty = _arrow.is_in(text, value_set=pa.array(sorted(missing), pa.string()))
        return cls(_arrow.if_else(empty, pa.scalar(None, pa.string()), text), text)

    def __len__(self) -> int:
        """Number of cells that are not missing."""
        return self.rows - self._text.null_count

    @property
    def example(self) -> str:
        """The first value."""
        return next((str(cell) for cell in self._text.drop_null().slice(0, 1)), "")

    @property
    def distinct(self) -> list[str]:
        """Different values, in the order of their first row."""
        return self._factorized[1]

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each different value occurs."""
        codes = self._factorized[0]
        return np.bincount(codes[codes >= 0], minlength=len(self.distinct))

    def spread(self, values: np.ndarray) -> pd.Series:
        """One value for each different cell to a value for each row, NaN where it is missing;
        objects are shared.
        """
        with_missing = np.append(values, np.array([np.nan], dtype=values.dtype))
        return pd.Series(with_missing[self._factorized[0]], dtype=values.dtype)

    def as_plain_numbers(self, decimal: str) -> np.ndarray | None:
        """float64 of all rows if every cell is a number without signs or groups of thousands, else
        None.
        """
        if len(self) == 0:
            return None
        text = self._text
        if decimal == ",":
            if _arrow.any(_arrow.match_substring(text, ".")).as_py():
                return None
            text = _arrow.replace_substring(text, ",", ".")
        try:
            numbers = _arrow.cast(text, pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            return None
        return numbers if np.isfinite(numbers).sum() == len(self) else None

    def any_match(self, pattern: str) -> bool:
        """Whether a regular expression of RE2 is found in some cell."""
        for text in (self._text.slice(0, _LOOKED_AT), self._text):
            if _arrow.any(_arrow.match_substring_regex(text, pattern)).as_py():
                return True
        return False

    def few_at_first(self, most: int) -> bool:
        """Whether the first cells have at most so many different values."""
        return int(_arrow.count_distinct(self._text.slice(0, _LOOKED_AT)).as_py()) <= most

    def times(self, word: str) -> int:
        """How many cells hold a word that means missing."""
        return int(_arrow.sum(_arrow.equal(self._raw, word)).as_py() or 0)

    @cached_property
    def _factorized(self) -> tuple[np.ndarray, list[str]]:
        text = self._text.cast(
            pa.large_string()
        ).combine_chunks()  # in one piece: dictionaries of many join slowly
        encoded = text.dictionary_encode()
        return encoded.indices.fill_null(-1).to_numpy(
            zero_copy_only=False
        ), encoded.dictionary.to_pylist()


def is_free_text(distinct: Sequence[str], present: int) -> bool:
    """Whether values are many and mostly of several words: sentences, titles, addresses; not codes,
    not categories.
    """
    many = len(distinct) > _MANY_SHARE * present and len(distinct) > min(
        _MANY_VALUES, _MOST * present
    )
    if not many or len(distinct) < 3:
        return False
    words = np.array([len(_WORD.findall(cell)) for cell in distinct[:1_000]])
    return bool(words.mean() >= _WORDS_OF_TEXT and np.median(words) >= _WORDS_OF_TEXT)


def _strings(values: pd.Series) -> list[str | None]:
    cells = values.astype(object).where(values.notna(), None).tolist()
    return [None if cell is None else _string(cell) for cell in cells]


def _string(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
