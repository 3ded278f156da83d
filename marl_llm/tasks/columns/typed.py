"""What the text of a column means: numbers, categories, dates, free text, missing values.

In: a column of any dtype (strings from a CSV, or of a person's own DataFrame), and the kind the
user named, if any. Out: a `TypedColumn`: float64 (NaN missing; dates are days since 1970-01-01) or
object of str (np.nan missing), with its kind, how it was read, and a note. Strings are shared by
equal cells. Whether a column is worth having is decided in `usefulness.py`; targets are read in
`target.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns.cells import NUMBER, numbers_of
from marl_llm.tasks.columns.date_order import DAY_FIRST, MONTH_FIRST, NO_DATES, read_dates
from marl_llm.tasks.columns.dates import dates_of, days_since_1970
from marl_llm.tasks.columns.text_columns import Cells, is_free_text

ColumnKind = Literal["numeric", "categorical", "date", "text"]
Override = Literal["numeric", "categorical", "date", "day-first date", "month-first date", "text"]

MISSING_WORDS = frozenset(
    {"", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "<NA>", "NaT", "?"}
)
NO_NUMBERS = frozenset(
    {"-", "--", ".", "none", "None", "NONE", "na", "n.a.", "missing", "unknown"}
    | {
        sign + word
        for sign in ("", "+", "-")
        for word in ("inf", "Inf", "INF", "infinity", "Infinity", "∞")
    }
)
_JUNK_SHARE, _JUNK_VALUES = (
    0.05,
    3,
)  # a column with this little text among its numbers is a column of numbers
_SAMPLE = 1_000
_BOOLEANS = frozenset({"true", "TRUE", "True", "false", "FALSE", "False"})
_KINDS: dict[str | None, ColumnKind] = {"day-first date": "date", "month-first date": "date"}


@dataclass(frozen=True, eq=False)
class TypedColumn:
    """One column, read.

    Attributes
    ----------
    values : Series
        float64 or object of str; the index of what was read.
    kind : ColumnKind
    how : str
        How to read it again: the decimal mark of numbers, "day first" or "month first" of dates,
        "boolean" of the categories True and False; else "".
    note : str or None
        What had to be given up or decided.
    example : str
        The first value as it was written; "" in an empty column.
    """

    values: pd.Series
    kind: ColumnKind
    how: str = ""
    note: str | None = None
    example: str = ""


def read_column(
    values: pd.Series, decimal: str = ".", kind: str | None = None, missing: Iterable[str] = ()
) -> TypedColumn:
    """Read one column.

    Booleans become the categories "True" and "False". Infinite numbers are missing.

    Parameters
    ----------
    values : Series of any dtype
    decimal : "." or ","
        Tried first, with the other mark as thousands separator; then the other one, and what reads
        more values wins.
    kind : Override, optional
        Default: detected. Values that do not fit a kind that is named are missing, with a note.
    missing : words that mean missing, besides `MISSING_WORDS`

    Raises
    ------
    UserError
        If no value fits the kind that is named.
    """
    words = MISSING_WORDS | frozenset(missing)
    wanted = _KINDS.get(kind, kind)
    typed = _of_dtype(values, decimal, words)
    if typed is None or wanted not in (None, typed.kind):
        typed = _of_cells(Cells.of(values, words), decimal, kind)
    return replace(typed, values=typed.values.set_axis(values.index).rename(values.name))


def _of_dtype(values: pd.Series, decimal: str, words: frozenset[str]) -> TypedColumn | None:
    """A column whose dtype says what it holds; None for text and booleans."""
    dtype = values.dtype
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_string(dtype.pyarrow_dtype):
        return None
    example = next((str(value) for value in values.head(_SAMPLE).dropna().head(1)), "")
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return TypedColumn(days_since_1970(values), "date", DAY_FIRST, None, example)
    if pd.api.types.is_timedelta64_dtype(dtype):
        return TypedColumn(
            values / pd.Timedelta(days=1), "numeric", decimal, "durations in days", example
        )
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        if pd.api.types.is_complex_dtype(dtype):
            return None
        numbers = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        numbers[~np.isfinite(numbers) | np.isin(numbers, numbers_of(sorted(words), "."))] = np.nan
        return TypedColumn(
            pd.Series(numbers, index=values.index), "numeric", decimal, None, example
        )
    return None


def _of_cells(cells: Cells, decimal: str, kind: str | None) -> TypedColumn:
    if kind is None:
        return (
            _numbers(cells, decimal, False) or _dates(cells, decimal, None) or _words(cells, None)
        )
    typed: TypedColumn | None
    if kind == "numeric":
        typed = _numbers(cells, decimal, True)
    elif kind in ("categorical", "text"):
        typed = _words(cells, kind)
    else:
        typed = _dates(cells, decimal, kind)
    if typed is None:
        what = {"numeric": "a number"}.get(kind, "a date")
        raise UserError(
            f"No value is {what} (the first is '{cells.example}'): choose another kind."
        )
    return typed


def _numbers(cells: Cells, decimal: str, forced: bool) -> TypedColumn | None:
    """The column as numbers, or None if it holds too much else."""
    plain = cells.as_plain_numbers(decimal)
    if plain is not None:
        return TypedColumn(pd.Series(plain), "numeric", decimal, None, cells.example)
    distinct, counts = cells.distinct, cells.counts
    marks = (decimal, "," if decimal == "." else ".")
    if not forced and _too_few(distinct, [numbers_of(distinct[:_SAMPLE], mark) for mark in marks]):
        return None
    numbers, mark = numbers_of(distinct, decimal), decimal
    if np.isnan(numbers).any():
        other = numbers_of(distinct, marks[1])
        if np.isfinite(other).sum() > np.isfinite(numbers).sum():
            numbers, mark = other, marks[1]
    unread = np.flatnonzero(np.isnan(numbers))
    if not np.isfinite(numbers).any() or not (forced or _is_junk(distinct, counts, unread)):
        return None
    notes = [_affix_note(distinct, mark), _junk_note([distinct[i] for i in unread], "numbers")]
    note = "; ".join(note for note in notes if note) or None
    return TypedColumn(cells.spread(numbers), "numeric", mark, note, cells.example)


def _dates(cells: Cells, decimal: str, kind: str | None) -> TypedColumn | None:
    """The column as days since 1970-01-01, or None if it holds too much else."""
    distinct, counts = cells.distinct, cells.counts
    if kind is None and _too_few(
        distinct, [dates_of(distinct[:_SAMPLE], order) for order in (DAY_FIRST, MONTH_FIRST)]
    ):
        return None
    if kind in ("day-first date", "month-first date"):
        order, note = (DAY_FIRST if kind == "day-first date" else MONTH_FIRST), None
        days = dates_of(distinct, order)
    else:
        days, order, note = read_dates(distinct, decimal)
    unread = np.flatnonzero(np.isnan(days))
    if np.isnan(days).all() or not (kind or _is_junk(distinct, counts, unread)):
        return None
    notes = [note, _junk_note([distinct[i] for i in unread], "dates")]
    return TypedColumn(
        cells.spread(days),
        "date",
        order,
        "; ".join(note for note in notes if note) or None,
        cells.example,
    )


def _words(cells: Cells, kind: str | None) -> TypedColumn:
    """The column as text: categories, or free text where the kind says so or the cells look like
    it.
    """
    distinct = cells.distinct
    if not distinct and kind is None:
        return TypedColumn(pd.Series(np.full(cells.rows, np.nan)), "numeric")
    boolean = bool(distinct) and set(distinct[: len(_BOOLEANS) + 1]) <= _BOOLEANS
    if boolean:
        distinct = [word.capitalize() for word in distinct]
    free = kind == "text" or (kind is None and is_free_text(distinct, len(cells)))
    values = cells.spread(np.array(distinct, dtype=object))
    return TypedColumn(
        values, "text" if free else "categorical", "boolean" if boolean else "", None, cells.example
    )


def _too_few(distinct: Sequence[str], readings: Sequence[np.ndarray]) -> bool:
    """Whether so many of the first different values are unread that no share of the rest could make
    up for it.
    """
    allowed = _JUNK_VALUES + len(NO_NUMBERS | NO_DATES)
    return (
        bool(len(distinct)) and min(int(np.isnan(reading).sum()) for reading in readings) > allowed
    )


def _is_junk(distinct: Sequence[str], counts: np.ndarray, unread: np.ndarray) -> bool:
    """Whether what could not be read is so little, or so usual a word, that it counts as
    missing.
    """
    odd = [i for i in unread if distinct[i] not in NO_NUMBERS and distinct[i] not in NO_DATES]
    return not odd or (len(odd) <= _JUNK_VALUES and counts[odd].sum() <= _JUNK_SHARE * counts.sum())


def _junk_note(unread: Sequence[str], what: str) -> str | None:
    odd = [cell for cell in unread if cell not in NO_NUMBERS and cell not in NO_DATES]
    if not odd:
        return None
    rest = f" and {len(odd) - _JUNK_VALUES} more" if len(odd) > _JUNK_VALUES else ""
    return (
        f"{', '.join(repr(cell) for cell in odd[:_JUNK_VALUES])}{rest} among its {what} read as "
        "missing"
    )


def _affix_note(distinct: Sequence[str], mark: str) -> str | None:
    found = (NUMBER[mark].fullmatch(cell) for cell in distinct)
    signs = dict.fromkeys(match["before"] or match["after"] for match in found if match)
    listed = ", ".join(f"'{sign}'" for sign in signs if sign)
    return f"{listed} beside its numbers left out" if listed else None
