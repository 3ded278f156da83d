"""Which typed columns cannot be features, and why: empty and constant ones, ids, counters, codes.

In: a typed column. Out: the reason as a phrase, or None.
"""

from __future__ import annotations

import re

import pandas as pd

from marl_llm.tasks.columns import TypedColumn

_MAX_CATEGORIES = 50
_ID_WORDS = frozenset({"id", "ids", "uid", "uuid", "guid", "codigo", "código", "cod"})
_INDEX_WORDS = frozenset({"index", "idx", "row", "rows", "rowid", "rownum", "rownames"})
_COUNTER_WORDS = _INDEX_WORDS | {"key", "no", "nr", "number", "column"}
_ROW_WORDS = _COUNTER_WORDS | {"record", "obs", "observation", "serial", "sno", "slno", "lp"}
_UNNAMED = "column_1"
_SPARSE, _DENSE = 20, 1.02  # numbers up to the largest, for each row: of a part of a table, of all


def empty_or_constant(column: pd.Series) -> str | None:
    """Why a column carries nothing at all, or None."""
    if column.isna().all():
        return "it is empty"
    return "it is constant" if (column == column.iloc[0]).all() else None


def unfit_as_feature(name: str, column: TypedColumn) -> str | None:
    """Why a column can't be a useful feature by default, or None: ids and nearly unique codes."""
    if column.kind == "categorical":
        return _unfit_category(column.values.dropna())
    return _unfit_number(name, column.values) if column.kind == "numeric" else None


def _unfit_category(present: pd.Series) -> str | None:
    distinct = present.nunique()
    if distinct == len(present) and distinct > 2:
        return "every value is different, like an id"
    if distinct > _MAX_CATEGORIES and distinct > 0.5 * len(present):
        return f"text with {distinct} different values in {len(present)} rows"
    return None


def _unfit_number(name: str, column: pd.Series) -> str | None:
    words = _words(name)
    if (
        not (words & (_ID_WORDS | _ROW_WORDS) or name == _UNNAMED)
        or not bool((column % 1 == 0).all())
        or not column.is_unique
    ):
        return None
    if words & _ID_WORDS:
        return "whole numbers, all different, named like an id"
    if words & _COUNTER_WORDS and (
        column.is_monotonic_increasing or column.is_monotonic_decreasing
    ):
        return "whole numbers that only rise or fall, named like a counter"
    return _shuffled_index(column, name == _UNNAMED or bool(words & _INDEX_WORDS))


def _shuffled_index(column: pd.Series, called_index: bool) -> str | None:
    """Whether different whole numbers count the rows of a file, in any order; under the name of an
    index, also those of some rows of a larger file.
    """
    first, per_row = column.min(), (column.max() + 1) / len(column)
    if first < 0 or per_row > (_SPARSE if called_index else _DENSE):
        return None
    whole = first <= 1 and per_row <= _DENSE
    return f"whole numbers, all different, like row numbers{'' if whole else ' of a larger file'}"


def _words(name: str) -> set[str]:
    """Lower-case words of a name: `customerID` and `customer_id` hold "id"; pandas names a row
    index `Unnamed: 0`.
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = set(re.split(r"[\W_\d]+", spaced.lower()))
    return words | {"index"} if "unnamed" in words else words
