"""Whether numbers are dates: 21 November 2021 is the day 44521 of Excel, and 20211121."""

from __future__ import annotations

import numpy as np
import pandas as pd

from marl_llm.tasks.columns.name_words import name_words
from marl_llm.tasks.columns.units import meanings

_EARLIEST, _LATEST = 18_264, 65_000  # 1950 and 2077
_RECENT, _SOON = 36_526, 50_000  # 2000 and 2036
_SPAN = 7_400  # twenty years
_MANY = 30
_SOME = 10
_DATE_WORDS = frozenset(
    {"date", "dates", "datetime", "timestamp", "datum", "fecha", "dob", "dátum", "termin", "tarih"}
    | {"дата", "ημερομηνία", "päivämäärä", "pvm", "日期", "日付", "날짜", "תאריך", "التاريخ"}
    | {"geburtstag", "birthday", "deadline"}
)
_FIRST_WORDS = frozenset({"data", "dato", "day", "dia", "tag", "jour"})  # `data da venda`
_NO_DATES = frozenset({"update", "candidate", "mandate", "validate"})
_LAST_WORDS = frozenset({"at", "on", "dt", "am", "le", "el", "em", "until", "since", "bis", "von"})


def is_named_like_a_date(name: str) -> bool:
    """Whether a column name holds a word for dates, or ends in one, as `Shipped At`."""
    words = name_words(name)
    if not words or {"per", "pro", "por"} & set(words):
        return False
    named = any(
        word in _DATE_WORDS or (word.endswith(("date", "datum")) and word not in _NO_DATES)
        for word in words
    )
    first = words[0] in _FIRST_WORDS and not any(meanings(word) for word in words[1:])
    return named or first or (len(words) > 1 and words[-1] in _LAST_WORDS)


def are_days(numbers: np.ndarray) -> bool:
    """Whether all numbers can be days between 1950 and 2077, and there are several."""
    present = numbers[np.isfinite(numbers)]
    if not len(present) or present.min() < _EARLIEST or present.max() > _LATEST:
        return False
    return len(np.unique(present[:1_000])) > 2


def may_be_days(numbers: np.ndarray) -> bool:
    """Whether whole numbers all lie in our years, spread as dates are: worth a remark."""
    present = numbers[np.isfinite(numbers)]
    if len(present) < _MANY or present.min() < _RECENT or present.max() > _SOON:
        return False
    if present.max() - present.min() > _SPAN:
        return False
    return bool((present % 1 == 0).all()) and len(np.unique(present)) >= _MANY


def compact_days(numbers: np.ndarray) -> np.ndarray | None:
    """Days since 1970-01-01 of numbers such as 20211121, NaN where there is none; None unless all
    are dates between 1900 and 2099, and there are several.
    """
    present = np.isfinite(numbers)
    distinct = np.unique(numbers[present])
    if len(distinct) < _SOME or distinct[0] < 19_000_101 or distinct[-1] > 20_991_231:
        return None
    if (distinct % 1 != 0).any():
        return None
    written = pd.Series(distinct.astype(np.int64).astype(str))
    moments = pd.to_datetime(written, format="%Y%m%d", errors="coerce")
    if moments.isna().any():
        return None
    days = np.full(len(numbers), np.nan)
    known = moments.to_numpy("datetime64[D]").astype(np.float64)
    days[present] = known[np.searchsorted(distinct, numbers[present])]
    return days
