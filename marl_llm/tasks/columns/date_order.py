"""Whether the dates of a column are written day first or month first, from all of its values
together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_llm.tasks.columns.dates import dates_of

DAY_FIRST, MONTH_FIRST = "day first", "month first"
NO_DATES = frozenset({"0000-00-00", "0000-00-00 00:00:00", "00/00/0000", "00.00.0000", "-", "--"})


def read_dates(distinct: Sequence[str], decimal: str) -> tuple[np.ndarray, str, str | None]:
    """Days since 1970-01-01, the order that reads more of the values, and a note if both read all,
    but differently.

    Then the dates are read day first where the decimal mark is a comma or the parts are separated
    by points, as in 3.4.2020; else month first.
    """
    by_day, by_month = dates_of(distinct, DAY_FIRST), dates_of(distinct, MONTH_FIRST)
    read = [int(np.isfinite(days).sum()) for days in (by_day, by_month)]
    if read[0] != read[1]:
        return (by_day, DAY_FIRST, None) if read[0] > read[1] else (by_month, MONTH_FIRST, None)
    differing = np.flatnonzero(np.isfinite(by_day) & (by_day != by_month))
    if not len(differing):
        return by_day, DAY_FIRST, None
    example = distinct[differing[0]]
    days, order = (
        (by_day, DAY_FIRST) if decimal == "," or "." in example else (by_month, MONTH_FIRST)
    )
    return days, order, f"dates such as '{example}' can be read in two ways: read {order}"
