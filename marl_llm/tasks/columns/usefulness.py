"""Which typed columns cannot be features, and why: empty and constant ones, ids, counters, codes.

In: a typed column. Out: the reason as a phrase, or None.
"""

from __future__ import annotations

import re

import pandas as pd

from marl_llm.tasks.columns import TypedColumn
from marl_llm.tasks.columns.name_words import name_words

_MAX_CATEGORIES = 50
_ID_WORDS = frozenset({"id", "ids", "uid", "uuid", "guid", "codigo", "código", "cod"})
_INDEX_WORDS = frozenset({"index", "idx", "row", "rows", "rowid", "rownum", "rownames"})
_COUNTER_WORDS = _INDEX_WORDS | {"key", "no", "nr", "number", "column"}
_ROW_WORDS = (
    _COUNTER_WORDS
    | {"record", "obs", "observation", "serial", "sno", "slno", "lp", "lfd", "lfdnr", "lfnr", "num"}
    | {"nro", "núm", "numero", "número", "numer", "nummer", "numéro", "seq", "sequence", "ordem"}
    | {"case", "sample", "respondent", "participant", "subject", "entry", "n", "序号", "номер"}
)
_RANKS = frozenset({"rank", "ranks", "ranking", "rang", "position", "place", "posição", "posición"})
_NUMBER_SIGN = re.compile(r"[^\w]+|[^\w]*n[º°][^\w]*|.*№.*|\.\.\.1", re.IGNORECASE)
_ARTEFACT = re.compile(r"unnamed: 0(?:\.1)*|level_0", re.IGNORECASE)
"""How pandas names an index that was written into the file."""
_FROM_R = frozenset({"X", "X1", "V1"})
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
    words = {*name_words(name), "".join(name_words(name))}  # `L.p.` is `lp`
    if not bool((column % 1 == 0).all()):
        return None
    if not column.is_unique:
        written = _ARTEFACT.fullmatch(name) is not None
        return "row numbers, under the name that pandas gives to them" if written else None
    if words & _ID_WORDS:
        return "whole numbers, all different, named like an id"
    rising = column.is_monotonic_increasing or column.is_monotonic_decreasing
    if words & _COUNTER_WORDS and rising:
        return "whole numbers that only rise or fall, named like a counter"
    called_index = name == _UNNAMED or bool(_NUMBER_SIGN.fullmatch(name) or words & _INDEX_WORDS)
    called_index = called_index or _ARTEFACT.fullmatch(name) is not None
    numbers_rows = called_index or bool(words & _ROW_WORDS) or name in _FROM_R
    if not numbers_rows:
        return None
    return _row_numbers(column, called_index)


def may_number_rows(name: str, column: TypedColumn) -> str | None:
    """What to say of a feature that counts the rows of a shuffled file, under any name but that of
    a rank.
    """
    values = column.values
    if column.kind != "numeric" or not bool((values % 1 == 0).all()) or not values.is_unique:
        return None
    if values.is_monotonic_increasing or _RANKS & set(name_words(name)):
        return None
    if _row_numbers(values, called_index=False) is None:
        return None
    return "counts the rows in another order: 'ignore' leaves it out if it is a row number"


def _row_numbers(column: pd.Series, called_index: bool) -> str | None:
    """Whether different whole numbers count the rows of a file, in any order; under the name of an
    index, also those of some rows of a larger file.
    """
    first, per_row = column.min(), (column.max() + 1) / len(column)
    whole = first <= 1 and per_row <= _DENSE
    if first < 0 or not (whole or (called_index and per_row <= _SPARSE)):
        return None
    return f"whole numbers, all different, like row numbers{'' if whole else ' of a larger file'}"
