"""Numbers as people write them: decimal points or commas, grouped thousands, currency and percent
signs.

In: the text of cells and a decimal mark. Out: float64, NaN for what is no number. A delivered
`solution.py` holds what it needs of this module, so that a CSV is read there as it was read here:
the standard library and numpy only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

BLANK = "[ \u00a0\u2009\u202f]"
CURRENCY = (
    r"(?:(?:R|US|A|AU|C|CA|HK|MX|NZ|S)?\$|[€£¥₹₽₩₪₺₫฿₴₦]|kr\.?|Kč|zł|Ft|Rs\.?|Fr\.|(?:USD|EUR|GBP|BRL|CHF|JPY|CNY|INR"
    r"|CAD|AUD|NZD|MXN|ARS|CLP|COP|PEN|UYU|SEK|NOK|DKK|PLN|CZK|HUF|RON|RUB|TRY|ZAR|ILS|KRW|SGD|HKD)\b)"
)


def digits_pattern(mark: str) -> str:
    """Digits under a decimal mark; thousands may be grouped by the other mark, a blank or an
    apostrophe.
    """
    mark, other = re.escape(mark), re.escape("." if mark == "," else ",")
    grouped = (
        rf"[1-9][0-9]{{0,2}}(?P<group>{other}|{BLANK}|['’])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*"
    )
    indian = rf"[1-9][0-9]?(?:{other}[0-9]{{2}})+{other}[0-9]{{3}}"
    return rf"(?:(?:{grouped}|{indian}|[0-9]+)(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?"


def number_pattern(mark: str) -> re.Pattern[str]:
    """A number under a decimal mark, with currency and percent signs, in brackets if negative."""
    before = (
        rf"(?P<minus>[+\-−–])?{BLANK}?(?:(?P<before>{CURRENCY}){BLANK}?(?P<inner_minus>[+\-−–])?)?"
    )
    after = rf"(?:{BLANK}?(?P<after>%|{CURRENCY}))?"
    return re.compile(
        rf"(?P<bracket>\()?{before}(?P<digits>{digits_pattern(mark)}){after}(?(bracket)\))"
    )


NUMBER = {mark: number_pattern(mark) for mark in ".,"}


def number_of(cell: str, mark: str) -> float:
    """The number in a cell; NaN if there is none. Percent and currency signs are left out, brackets
    mean minus.
    """
    found = NUMBER[mark].fullmatch(cell)
    if found is None:
        return float("nan")
    digits = plain_digits(found["digits"], mark)
    signs = (found["bracket"], found["minus"], found["inner_minus"])
    return -float(digits) if any(sign in ("(", "-", "−", "–") for sign in signs) else float(digits)


def plain_digits(digits: str, mark: str) -> str:
    """Digits with a decimal point and without groups, as `float` takes them."""
    return re.sub(f"{BLANK}|['’{'.' if mark == ',' else ','}]", "", digits).replace(",", ".")


def numbers_of(cells: Sequence[str], mark: str) -> np.ndarray:
    """float64 of each cell, NaN where it is no finite number."""
    numbers = np.array([number_of(cell, mark) for cell in cells], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers
