"""What text means: numbers, categories, missing values; and which columns can be features.

In: a frame of any dtypes (strings from a CSV, or a person's own DataFrame). Out: a frame whose columns are float64
(NaN missing) or object columns of str (np.nan missing), and the columns that can't be features with the reason.
Targets are read in `target.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

MISSING = frozenset({"", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "<NA>", "NaT", "?"})
_MISSING_NUMBERS = frozenset({"-", "--", ".", "none", "None", "NONE", "na", "n.a.", "missing", "unknown"})
_PLAIN = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_GROUPED = r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?"
_JUNK_SHARE, _JUNK_VALUES = 0.05, 3  # a column with this little text among its numbers is a column of numbers
_MAX_CATEGORIES = 50
_ID_WORDS = frozenset({"id", "ids", "uid", "uuid", "guid", "codigo", "código", "cod"})
_COUNTER_WORDS = frozenset({"index", "idx", "row", "rowid", "key", "no", "nr", "number", "column"})
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")


def typed_column(values: pd.Series, decimal: str = ".") -> tuple[pd.Series, str | None]:
    """Read one column: float64 where it holds numbers, else object of str; with a note if some text had to be given up.

    Booleans become the categories "True" and "False". Infinite numbers are missing.
    """
    if pd.api.types.is_bool_dtype(values.dtype):
        return _as_text(values), None
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        numbers = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        return _finite(pd.Series(numbers, index=values.index, name=values.name)), None
    text = _as_text(values)
    return _numbers_or_text(text, decimal)


def parse_numbers(text: pd.Series, decimal: str = ".") -> pd.Series:
    """float64 of an object column of str; NaN where it is missing or not a number.

    The given decimal mark is tried first (with the other mark as thousands separator), then the other one, and what
    reads more values wins.
    """
    codes, distinct = pd.factorize(text.to_numpy(dtype=object))  # -1 where missing
    cells = pd.Series(distinct, dtype=object)
    numbers = _parse_with(cells, decimal)
    if numbers.isna().any():
        other = _parse_with(cells, "," if decimal == "." else ".")
        numbers = max(numbers, other, key=lambda reading: reading.notna().sum())
    return pd.Series(np.append(numbers.to_numpy(), np.nan)[codes], index=text.index, name=text.name)


def unfit_as_feature(name: str, column: pd.Series) -> str | None:
    """Why a typed column can't be a useful feature by default, or None: ids and nearly unique text."""
    present = column.dropna()
    distinct = present.nunique()
    if column.dtype == object:
        if distinct == len(present) and distinct > 2:
            return (
                "every value is different, like dates"
                if _looks_like_dates(present)
                else "every value is different, like an id"
            )
        if distinct > _MAX_CATEGORIES and distinct > 0.5 * len(present):
            what = "dates" if _looks_like_dates(present) else "text"
            return f"{what} with {distinct} different values in {len(present)} rows"
        return None
    if distinct == len(column) and bool((present % 1 == 0).all()):
        words = _words(name)
        if words & _ID_WORDS:
            return "whole numbers, all different, named like an id"
        if words & _COUNTER_WORDS and (column.is_monotonic_increasing or column.is_monotonic_decreasing):
            return "whole numbers that only rise or fall, named like a counter"
    return None


def empty_or_constant(column: pd.Series) -> str | None:
    """Why a typed column carries nothing at all, or None."""
    distinct = column.nunique()
    if distinct == 0:
        return "it is empty"
    if distinct == 1 and column.notna().all():
        return "it is constant"
    return None


def _as_text(values: pd.Series) -> pd.Series:
    """Object column of stripped str, np.nan for missing."""
    text = values.astype(str).str.strip().astype(object)
    text[values.isna() | text.isin(MISSING)] = np.nan
    if set(text.dropna().unique()) <= {"true", "TRUE", "false", "FALSE"}:
        text = text.where(text.isna(), text.str.capitalize())
    return text.astype(object)


def _numbers_or_text(text: pd.Series, decimal: str) -> tuple[pd.Series, str | None]:
    present = text.dropna()
    if present.empty:
        return pd.Series(np.nan, index=text.index, name=text.name, dtype=np.float64), None
    numbers = parse_numbers(text, decimal)
    unread = text.loc[text.notna() & numbers.isna()]
    if unread.isin(_MISSING_NUMBERS).all() and len(unread) < len(present):
        return _finite(numbers), None
    if len(unread) <= _JUNK_SHARE * len(present) and unread.nunique() <= _JUNK_VALUES:
        return _finite(numbers), f"{_listed(unread.unique().tolist())} among its numbers read as missing"
    return text, None


def _parse_with(text: pd.Series, decimal: str) -> pd.Series:
    """Numbers under one decimal mark; the other mark may group thousands."""
    if decimal == ",":
        text = text.str.translate(str.maketrans(".,", ",."))
    numbers = pd.Series(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
    unread = text.loc[numbers.isna()]
    grouped = unread.loc[unread.str.fullmatch(_GROUPED).eq(True)]
    numbers.loc[grouped.index] = grouped.str.replace(",", "").astype(np.float64)
    return numbers


def _finite(numbers: pd.Series) -> pd.Series:
    return numbers.where(np.isfinite(numbers), np.nan)


def _words(name: str) -> set[str]:
    """Lower-case words of a name: `customerID` and `customer_id` hold "id"; pandas names a row index `Unnamed: 0`."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = set(re.split(r"[\W_\d]+", spaced.lower()))
    return words | {"index"} if "unnamed" in words else words


def _looks_like_dates(present: pd.Series) -> bool:
    return all(_DATE.match(value) for value in present.head(20))


def _listed(values: Sequence[object]) -> str:
    return ", ".join(f"'{value}'" for value in values)
