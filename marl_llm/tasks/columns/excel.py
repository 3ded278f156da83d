"""Whether the numbers of a column are dates as Excel counts them: 44521 is 21 November 2021."""

from __future__ import annotations

import re

import numpy as np

from marl_llm.tasks.columns.units import meanings

_EARLIEST, _LATEST = 18_264, 65_000  # 1950 and 2077
_RECENT, _SOON = 36_526, 50_000  # 2000 and 2036
_SPAN = 3_700  # ten years
_MANY = 30
_DATE_WORDS = frozenset(
    {"date", "dates", "datetime", "timestamp", "datum", "fecha", "dob"}
    | {"geburtstag", "birthday", "deadline"}
)
_FIRST_WORDS = frozenset({"data", "dato", "day", "dia", "tag", "jour"})  # `data da venda`
_NO_DATES = frozenset({"update", "candidate", "mandate", "validate"})
_LAST_WORDS = frozenset({"at", "on", "dt", "am", "le", "el", "em", "until", "since", "bis", "von"})


def is_named_like_a_date(name: str) -> bool:
    """Whether a column name holds a word for dates, or ends in one, as `Shipped At`."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = [word for word in re.split(r"[\W_\d]+", spaced.casefold()) if word]
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
