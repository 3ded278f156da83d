"""`dates`: the parts of a date, which the frame holds as days since 1970."""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false
# Functions that are embedded in generated code carry no annotations: agents read that code.

from __future__ import annotations

import numpy as np

from marl_llm.proposals.ops.feature import Takes, scaled_function


def date_parts(X):
    """Year, month, day, weekday (Monday 0), day of the year and hour of days since 1970-01-01;
    shape (n, 6 columns).
    """
    days = np.clip(np.asarray(X, dtype=float), -1e6, 1e6)
    moment = np.floor(days).astype("int64").astype("datetime64[D]")
    year, month = moment.astype("datetime64[Y]"), moment.astype("datetime64[M]")
    since = [year.astype(int) + 1970, month.astype(int) % 12 + 1, (moment - month).astype(int) + 1]
    since += [
        (np.floor(days) + 3) % 7,
        (moment - year).astype(int) + 1,
        np.round(24 * (days - np.floor(days)), 6),
    ]
    return np.hstack([np.asarray(part, dtype=float) for part in since])


DATES = scaled_function(
    date_parts,
    name="dates",
    meaning="year, month, day, weekday, ...",
    constant="DATES",
    takes=Takes(kinds=("date",)),
    synonyms=("date_parts", "date"),
    columnwise=True,
)
