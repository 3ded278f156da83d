"""What the text of a column means: numbers, categories, dates, free text, missing values.

In: a column of any dtype (strings from a CSV, or of a person's own DataFrame), and what the user
said of it, if anything. Out: a `TypedColumn`: float64 (NaN missing; dates are days since
1970-01-01) or object of str (np.nan missing), with the decision how it was read, and a note.
Strings are shared by equal cells. Whether a column is worth having is decided in `usefulness.py`;
targets are read in `target.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns.cells import numbers_of
from marl_llm.tasks.columns.date_order import DAY_FIRST, MONTH_FIRST, read_dates
from marl_llm.tasks.columns.dates import dates_of, days_since_1970
from marl_llm.tasks.columns.decision import Decision, TypedColumn
from marl_llm.tasks.columns.junk import (
    EXCEL_ERRORS,
    EXPORTED_NULLS,
    SAMPLE,
    is_junk,
    joined,
    junk_note,
    too_few,
)
from marl_llm.tasks.columns.marks import Marks
from marl_llm.tasks.columns.missing import WORD, is_a_place, looks_like_codes
from marl_llm.tasks.columns.names import is_named_like_a_version
from marl_llm.tasks.columns.numeric import (
    Digits,
    duration_column,
    excel_column,
    names_of,
    numeric_column,
    quantity_column,
    ranges_note,
    with_doubts,
)
from marl_llm.tasks.columns.override import Override, option, parse_override
from marl_llm.tasks.columns.readings import EXCEL_EPOCH, READINGS, mixed_dates_of
from marl_llm.tasks.columns.text_columns import Cells, is_free_text

MISSING_WORDS = frozenset(
    {"", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "<NA>", "NaT", "?"}
)
_BOOLEANS = frozenset({"true", "TRUE", "True", "false", "FALSE", "False"})
_DATES = ("date", "day-first date", "month-first date")
_ORDERED = _DATES[1:]
_YEAR = re.compile("[0-9]{4}")
_NO_DAYS = dates_of(
    ("0001-01-01", "1753-01-01", "1899-12-30", "1900-01-01", "2999-12-31", "9999-12-31"), DAY_FIRST
)
_EXACT = 2**53
_SOME = 0.01


def read_column(
    values: pd.Series,
    decimal: str | Marks = ".",
    kind: str | None = None,
    missing: Iterable[str] = (),
) -> TypedColumn:
    """Read one column.

    Booleans become the categories "True" and "False". Infinite numbers are missing.

    Parameters
    ----------
    values : Series of any dtype
    decimal : "." or ",", or Marks
        Tried first, with the other mark as thousands separator; then the other one, and what reads
        more values wins.
    kind : line of an `Override`, optional
        Default: detected. Values that do not fit a kind that is named are missing, with a note.
    missing : words that mean missing, besides `MISSING_WORDS`

    Raises
    ------
    UserError
        If no value fits the kind that is named.
    """
    override = parse_override(kind)
    words = (MISSING_WORDS | frozenset((*missing, *override.missing))) - set(override.keep)
    marks = Marks(decimal) if isinstance(decimal, str) else decimal
    digits = Digits("" if values.name is None else str(values.name), marks, override)
    typed = _of_dtype(values, digits, words)
    wanted = "date" if override.kind in _DATES else override.kind
    if typed is None or wanted not in (None, typed.kind):
        cells = Cells.of(values, words)
        typed = _of_cells(cells, digits)
        if typed.decision.reading == "text" and (errors := _errors(cells, override)):
            words |= set(errors)
            cells = Cells.of(values, words)
            typed = _without_errors(_of_cells(cells, digits), errors)
        if typed.kind == "categorical" and typed.decision.reading == "text":
            typed = _with_places(typed, cells, values, words, override)
    typed = _as_named(typed, override)
    column = replace(typed, values=typed.values.set_axis(values.index).rename(values.name))
    if column.beside is None:
        return column
    beside = replace(
        column.beside,
        values=column.beside.values.set_axis(values.index),
        decision=replace(
            column.beside.decision, missing=column.decision.missing, keep=column.decision.keep
        ),
    )
    return replace(column, beside=beside)


def read_as(values: pd.Series, decision: Decision, missing: Iterable[str] = ()) -> pd.Series:
    """Read a column of text as another one was read, without deciding anything.

    Parameters
    ----------
    values : Series of str
    decision : Decision
    missing : words that mean missing in the whole file, besides `MISSING_WORDS`

    Returns
    -------
    Series
        float64 or object of str, as in `TypedColumn`.
    """
    words = (MISSING_WORDS | frozenset((*missing, *decision.missing))) - set(decision.keep)
    cells = Cells.of(values, words)
    plain = decision.reading == "number"
    numbers = cells.as_plain_numbers(decision.parameters[0]) if plain else None
    if numbers is None:
        read = READINGS[decision.reading](cells.distinct, *decision.parameters)
        column = cells.spread(read)
    else:
        column = pd.Series(numbers)
    if decision.reading in ("number", "quantity", "excel date"):
        since = EXCEL_EPOCH if decision.reading == "excel date" else 0
        left_out = numbers_of(sorted(words), ".") - since
        column = column.mask(column.isin(left_out[np.isfinite(left_out)]))
    return column.set_axis(values.index).rename(values.name)


def _as_named(column: TypedColumn, override: Override) -> TypedColumn:
    """With the words that people named in its decision."""
    decision = column.decision
    missing = tuple(word for word in override.missing if word not in decision.missing)
    keep = tuple(word for word in override.keep if word not in decision.keep)
    flags = " flags no" if not override.flags and " flags no" not in decision.line else ""
    line = decision.line + flags
    line += "".join(
        [*(option("missing", word) for word in missing), *(option("keep", word) for word in keep)]
    )
    return replace(
        column,
        decision=replace(
            decision,
            line=line,
            missing=(*decision.missing, *missing),
            keep=(*decision.keep, *keep),
            reason="named by you" if override.kind else decision.reason,
        ),
    )


def _of_dtype(values: pd.Series, digits: Digits, words: frozenset[str]) -> TypedColumn | None:
    """A column whose dtype says what it holds; None for text, booleans, and whole numbers that
    float64 does not hold.
    """
    dtype, decimal = values.dtype, digits.marks.decimal
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_string(dtype.pyarrow_dtype):
        return None
    example = next((str(value) for value in values.head(SAMPLE).dropna().head(1)), "")
    number = Decision("numeric", "number", (decimal,), "the column holds numbers", "numeric")
    if pd.api.types.is_datetime64_any_dtype(dtype):
        dates = Decision("date", "date", (DAY_FIRST,), "the column holds dates", "date")
        return TypedColumn(days_since_1970(values), dates, None, example)
    if pd.api.types.is_timedelta64_dtype(dtype):
        return TypedColumn(values / pd.Timedelta(days=1), number, "durations in days", example)
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return None
    if pd.api.types.is_complex_dtype(dtype):
        return None
    whole = values.dropna() if pd.api.types.is_integer_dtype(dtype) else values.iloc[:0]
    if len(whole) and max(abs(int(whole.min())), abs(int(whole.max()))) > _EXACT:
        return None
    numbers = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    numbers[~np.isfinite(numbers) | np.isin(numbers, numbers_of(sorted(words), "."))] = np.nan
    column = TypedColumn(pd.Series(numbers, index=values.index), number, None, example)
    return with_doubts(column, digits.name, digits.override)


def _of_cells(cells: Cells, digits: Digits) -> TypedColumn:
    kind = digits.override.kind
    if kind is None:
        return _detected(cells, digits)
    typed: TypedColumn | None
    if kind == "numeric":
        typed = numeric_column(cells, digits, forced=True)
        if typed is not None and typed.decision.reading in ("number", "quantity"):
            typed = with_doubts(typed, digits.name, digits.override)
    elif kind in ("categorical", "text"):
        typed = _words(cells, kind)
    elif kind == "excel date":
        typed = excel_column(cells, digits)
    else:
        typed = _dates(cells, digits.marks.decimal, kind)
    if typed is None:
        what = {"numeric": "a number"}.get(kind, "a date")
        raise UserError(
            f"No value is {what} (the first is '{cells.example}'): choose another kind."
        )
    return typed


def _detected(cells: Cells, digits: Digits) -> TypedColumn:
    numbers = numeric_column(cells, digits, forced=False)
    if numbers is None:
        versions = is_named_like_a_version(digits.name)
        dates = None if versions else _dates(cells, digits.marks.decimal, None)
        numbers = dates or quantity_column(cells, digits)
        numbers = numbers or duration_column(cells, digits)
        if numbers is None:
            words = _words(cells, None)
            return replace(words, note=joined([words.note, ranges_note(cells, digits.marks)]))
    if numbers.decision.reading == "quantity":
        return with_doubts(numbers, digits.name, digits.override)
    if numbers.decision.reading != "number":
        return numbers
    reason = names_of(cells, digits)
    if reason is not None:
        names = _words(cells, "categorical")
        note = f"{reason}; 'numeric' reads numbers"
        return replace(names, decision=replace(names.decision, reason=reason), note=note)
    return with_doubts(numbers, digits.name, digits.override)


def _dates(cells: Cells, decimal: str, kind: str | None) -> TypedColumn | None:
    """The column as days since 1970-01-01, or None if it holds too much else."""
    distinct, counts = cells.distinct, cells.counts
    orders = (DAY_FIRST, MONTH_FIRST)
    sample = distinct[:SAMPLE]
    if kind is None and too_few(sample, [mixed_dates_of(sample, order) for order in orders]):
        return None
    if kind in _ORDERED:
        order, note = (DAY_FIRST if kind == "day-first date" else MONTH_FIRST), None
        days = dates_of(distinct, order)
    else:
        days, order, note = read_dates(distinct, decimal)
    reading, notes = "date", [note]
    mixed = mixed_dates_of(distinct, order) if np.isnan(days).any() else days
    excel = np.isnan(days) & np.isfinite(mixed)
    if excel.any() and np.isfinite(days).any():
        reading, days = "mixed date", mixed
        notes.append(f"day numbers of Excel, as '{distinct[excel.argmax()]}', read as dates")
    unread = np.flatnonzero(np.isnan(days))
    if np.isnan(days).all() or not (kind or is_junk(distinct, counts, unread)):
        return None
    line, reason = f"{order.replace(' ', '-')} date", f"dates, {order}"
    if kind not in _ORDERED and _in_any_order(distinct):
        line, reason = "date", "dates, year first" if _YEAR.match(distinct[0]) else "dates"
    notes += [_no_dates(distinct, days, line), junk_note([distinct[i] for i in unread], "dates")]
    decision = Decision("date", reading, (order,), reason, line)
    return TypedColumn(cells.spread(days), decision, joined(notes), cells.example)


def _in_any_order(distinct: Sequence[str]) -> bool:
    """Whether dates are the same read day first and month first, as 2020-04-03 is."""
    days = (dates_of(distinct, order) for order in (DAY_FIRST, MONTH_FIRST))
    return np.array_equal(*days, equal_nan=True)


def _no_dates(distinct: Sequence[str], days: np.ndarray, line: str) -> str | None:
    """What to say of days that often stand for missing, decades from the others."""
    usual = np.isin(days, _NO_DAYS)
    others = days[np.isfinite(days) & ~usual]
    found = [i for i in np.flatnonzero(usual) if np.abs(others - days[i]).min(initial=np.inf) > 7e3]
    if not found or not len(others):
        return None
    word = distinct[int(found[0])]
    return f"'{word}' may stand for missing: '{line}{option('missing', word)}' reads it so"


def _words(cells: Cells, kind: str | None) -> TypedColumn:
    """The column as text: categories, or free text where the kind says so or the cells look like
    it.
    """
    distinct = cells.distinct
    if not distinct and kind is None:
        empty = Decision("numeric", "number", (".",), "every cell is empty", "numeric")
        return TypedColumn(pd.Series(np.full(cells.rows, np.nan)), empty)
    boolean = bool(distinct) and set(distinct[: len(_BOOLEANS) + 1]) <= _BOOLEANS
    reading = "boolean" if boolean else "text"
    if kind == "text" or (kind is None and is_free_text(distinct, len(cells))):
        decision = Decision("text", reading, (), "many different texts of several words", "text")
    else:
        reason = f"text with {len(distinct)} different values"
        decision = Decision("categorical", reading, (), reason, "categorical")
    return TypedColumn(cells.spread(READINGS[reading](distinct)), decision, None, cells.example)


def _errors(cells: Cells, override: Override) -> tuple[str, ...]:
    """What Excel and databases write instead of values, as far as it stands among words."""
    known = (EXCEL_ERRORS | EXPORTED_NULLS) - set(override.keep)
    return tuple(sorted(known.intersection(cells.distinct)))


def _without_errors(column: TypedColumn, errors: tuple[str, ...]) -> TypedColumn:
    """The column, which was read without these words, with a note and a decision that say so."""
    note = f"{', '.join(map(repr, errors))} read as missing"
    decision = replace(column.decision, missing=(*column.decision.missing, *errors))
    return replace(column, decision=decision, note=joined([column.note, note]))


def _with_places(
    column: TypedColumn,
    cells: Cells,
    values: pd.Series,
    words: frozenset[str],
    override: Override,
) -> TypedColumn:
    """Categories with NA among them where it is a place; with a remark where it may be."""
    times = cells.times(WORD) if WORD in words and WORD not in override.missing else 0
    if times < _SOME * cells.rows or not times or not cells.few_at_first(SAMPLE):
        return column
    others = cells.distinct
    if not is_a_place(others):
        if not looks_like_codes(others):
            return column
        note = f"'NA' ({times} cells) read as missing: 'categorical keep NA' makes it a value"
        return replace(column, note=joined([column.note, note]))
    note = f"'NA' ({times} cells) is a value, as others are {', '.join(others[:3])}; "
    note += "'categorical missing NA' leaves it out"
    kept = _words(Cells.of(values, words - {WORD}), "categorical")
    decision = replace(
        kept.decision, keep=(WORD,), line=f"categorical keep {WORD}", reason=column.decision.reason
    )
    return replace(kept, decision=decision, note=joined([column.note, note]))
