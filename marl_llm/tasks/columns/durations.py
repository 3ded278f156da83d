"""Durations and times of day as clocks show them: `08:37`, `1:21:38`, `1:28.5`, `2:05 PM`, `8h37`,
`1 days 02:03:04`, `PT1H30M`.

In: the text of cells, what two numbers stand for, and the seconds of the unit wanted. Out: float64,
NaN for what is neither. `1h 20m` and `90 min` are quantities. The part below the mark stands in
every delivered `solution.py`; it uses the standard library and numpy only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

# ---- solution.py goes on from here ----

CLOCK = re.compile(
    r"(?P<minus>[-−])?(?:(?P<days>[0-9]+) ?(?:days?|d|\.),? ?)?"
    r"(?P<one>[0-9]{1,4}):(?P<two>[0-5][0-9])"
    r"(?::(?P<three>[0-5][0-9](?:[.,][0-9]+)?)|(?P<tenths>[.,][0-9]+))?"
    r"(?: ?(?P<half>[aApP])\.?[mM]\.?)?"
)
SECONDS = re.compile(r"[0-9]{1,2}[.,][0-9]+")  # `58.341` beside `1:02.117`
HOURS_MINUTES = re.compile(r"(?P<hours>[0-9]{1,3}) ?(?:h|H|Uhr|uhr) ?(?P<minutes>[0-5][0-9])?")
O_CLOCK = re.compile(r"(?P<hours>[0-9]{1,2})[.:](?P<minutes>[0-5][0-9]) ?(?:Uhr|uhr|h)")
ISO_DURATION = re.compile(
    r"P(?:(?P<days>[0-9]+)D)?(?:T(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?"
    r"(?:(?P<seconds>[0-9]+(?:\.[0-9]+)?)S)?)?"
)
WRITTEN = (HOURS_MINUTES, O_CLOCK, ISO_DURATION)


def clock_seconds(cell: str, two: str) -> float:
    """Seconds of a duration, or since midnight of a time of day; NaN if the cell is neither."""
    found = CLOCK.fullmatch(cell)
    if found is None and two == "m:s" and SECONDS.fullmatch(cell):
        return float(cell.replace(",", "."))
    if found is None:
        return written_out_seconds(cell)
    one, minutes = int(found["one"]), int(found["two"])
    if found["half"]:
        if not 1 <= one <= 12 or found["minus"] or found["days"]:
            return float("nan")
        one = one % 12 + (12 if found["half"] in "pP" else 0)
    if found["three"] is None and (two == "m:s" or found["tenths"]) and not found["half"]:
        seconds = one * 60.0 + float(f"{minutes}{(found['tenths'] or '').replace(',', '.')}")
    else:
        seconds = one * 3600.0 + minutes * 60 + float((found["three"] or "0").replace(",", "."))
    seconds += int(found["days"] or 0) * 86_400
    return -seconds if found["minus"] else seconds


def written_out_seconds(cell: str) -> float:
    """Seconds of `8h37`, `17 Uhr` and of ISO 8601's `PT1H30M`; NaN if the cell is neither."""
    found = next((m for form in WRITTEN if (m := form.fullmatch(cell))), None)
    units = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}
    given = {name: text for name, text in found.groupdict().items() if text} if found else {}
    if not given:
        return float("nan")
    return sum(float(text) * units[name] for name, text in given.items())


def durations_of(cells: Sequence[str], two: str, unit: float) -> np.ndarray:
    """Each cell in a unit of so many seconds, float64, NaN where it is no time; `two` says whether
    08:37 is "h:m" or "m:s".
    """
    return np.array([clock_seconds(cell, two) for cell in cells], dtype=np.float64) / unit
