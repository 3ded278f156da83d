"""Dates and times as people write them, as days since 1970-01-01.

In: the text of cells, and whether 3/4/2020 is in April ("day first") or in March ("month first").
Out: float64, the fraction is the time of day, NaN for what is no date; a time with a zone is turned
into UTC. A delivered `solution.py` holds what it needs of this module: the standard library,
numpy and pandas only.

Formats: 2020-04-03, 3/4/2020, 3.4.20, 2020-04, 04/2020, 3 April 2020, April 3, 2020, 3-Apr-20, Apr
2020 (month names of seven languages), 20200403, 2020年4月3日, each with a time behind it: 14:05,
14:05:09.25, 2:05 PM, and a zone: Z, UTC, +02:00.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd

MONTHS = (
    "january janvier januar januari janeiro enero gennaio",
    "february fevrier februar februari fevereiro febrero febbraio",
    "march mars marz maerz maart marco marzo mrt",
    "april avril abril aprile",
    "may mai mei maio mayo maggio",
    "june juin juni junho junio giugno",
    "july juillet juli julho julio luglio",
    "august aout augustus agosto",
    "september septembre setembro septiembre settembre sept",
    "october octobre oktober outubro octubre ottobre",
    "november novembre novembro noviembre",
    "december decembre dezember dezembro diciembre dicembre",
)
YEAR_FORM = "(?P<year>[0-9]{4})"
DATE_FORMS = (
    rf"{YEAR_FORM}(?P<mark>[-/.])(?P<month>[0-9]{{1,2}})(?:(?P=mark)(?P<day>[0-9]{{1,2}}))?",
    r"(?P<one>[0-9]{1,2})(?P<mark>[-/.])(?P<two>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4}|[0-9]{2})",
    rf"(?P<month>[0-9]{{1,2}})[-/]{YEAR_FORM}",
    r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|er|º|\.)?(?: de | of |[-/. "
    r"]|)(?P<name>[^\W\d_]{3,})\.?,?(?: de |[-/ ]|)"
    r"(?P<year>[0-9]{4}|[0-9]{2})",
    rf"(?P<name>[^\W\d_]{{3,}})\.?[- ](?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?,?[- ]{YEAR_FORM}",
    rf"(?P<name>[^\W\d_]{{3,}})\.?(?: de |[-/. ]){YEAR_FORM}",
    rf"{YEAR_FORM}(?P<month>[0-9]{{2}})(?P<day>[0-9]{{2}})",
    rf"{YEAR_FORM}[年년] ?(?P<month>[0-9]{{1,2}})[月월](?: ?(?P<day>[0-9]{{1,2}})[日일])?",
)
WEEKDAY_FORM = r"(?:[^\W\d_]{2,13}(?:-feira)?\.?,? )?"
TIME_FORM = (
    r"(?:T|,? )(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}(?:[.,][0-9]+)?))? ?"
    r"(?P<half>[aApP])?(?(half)\.?[mM]\.?) ?(?P<zone>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
DATE_PATTERNS = tuple(
    re.compile(f"{WEEKDAY_FORM if '<name>' in form else ''}{form}") for form in DATE_FORMS
)
TIME_PATTERN = re.compile(TIME_FORM)


def date_of(cell: str, order: str) -> float:
    """Days since 1970-01-01 of a cell, NaN if there is no such date or time."""
    colon = cell.find(":")
    start = max(cell.rfind(" ", 0, colon), cell.rfind("T", 0, colon)) if colon >= 0 else len(cell)
    if start > 0 and cell[start - 1] == ",":
        start -= 1
    return day_of(cell[: max(start, 0)], order) + seconds_of(cell[max(start, 0) :]) / 86_400


@lru_cache(maxsize=100_000)
def day_of(text: str, order: str) -> float:
    """Days since 1970-01-01 of a date; NaN if there is no such date. Years of two digits are 1969
    to 2068.
    """
    found = next((match for form in DATE_PATTERNS if (match := form.fullmatch(text))), None)
    if found is None:
        return float("nan")
    part = found.groupdict()
    if "one" in part:
        part["day"], part["month"] = (part["one"], part["two"])[
            :: 1 if order == "day first" else -1
        ]
    month = month_of(part["name"]) if "name" in part else int(part["month"])
    year = int(part["year"])
    year += 0 if len(part["year"]) == 4 else 2000 if year < 69 else 1900
    try:
        return float(date(year, month, int(part.get("day") or 1)).toordinal() - 719_163)
    except ValueError:
        return float("nan")


def month_of(name: str) -> int:
    """1 to 12 of a month's name or its first letters; 0 if there is none."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    known = (
        i
        for i, names in enumerate(MONTHS, start=1)
        if any(n.startswith(plain) for n in names.split())
    )
    return next(known, 0) if len(plain) >= 3 else 0


@lru_cache(maxsize=100_000)
def seconds_of(text: str) -> float:
    """Seconds since midnight UTC of a time, 0 of an empty text; NaN if there is no such time."""
    found = TIME_PATTERN.fullmatch(text)
    if found is None:
        return float("nan") if text else 0.0
    hour, minute = int(found["hour"]), int(found["minute"])
    second = float((found["second"] or "0").replace(",", "."))
    if found["half"]:
        hour = hour % 12 + (12 if found["half"] in "pP" else 0) if 1 <= hour <= 12 else 99
    if hour > 23 or minute > 59 or second >= 61:
        return float("nan")
    zone = (found["zone"] or "").replace(":", "")
    offset = int(zone[:3]) * 60 + int(zone[0] + (zone[3:] or "0")) if zone[:1] in ("+", "-") else 0
    return hour * 3600 + (minute - offset) * 60 + second


def dates_of(cells: Sequence[str], order: str) -> np.ndarray:
    """Days since 1970-01-01 of each cell, float64, NaN where it is no date."""
    return np.array([date_of(cell, order) for cell in cells], dtype=np.float64)


def days_since_1970(column: pd.Series) -> pd.Series:
    """Days since 1970-01-01 of datetimes with or without zone; float64, NaN where missing."""
    moments = pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")
    microseconds = moments.astype(np.int64)
    days = microseconds // 86_400_000_000 + microseconds % 86_400_000_000 / 1e6 / 86_400
    return pd.Series(np.where(np.isnat(moments), np.nan, days), index=column.index)
