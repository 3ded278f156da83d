"""Digits that are names: codes, versions, account numbers.

In: the different cells of a column that could be read as numbers. Out: why they are names, as a
phrase with an example, or None. As numbers, `03` would be 3, `008.45` the same as `8.45`, `12E4`
the same as `120E3`, and an account number of 20 digits that of somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

DOUBTFUL = r"^[+-]?0[0-9]|^\+[0-9]{8}|^[0-9]+[eE][0-9]|[0-9]{16}"
"""What a column without names never holds, as a regular expression of RE2."""
NAMES = "digits that are names"
_ZERO = re.compile(r"0[0-9]+(?:[.,][0-9]*)?")
_EXPONENT = re.compile(r"([0-9]+)[eE]([0-9]+)")
_PHONE = re.compile(r"\+[0-9]{8,15}")
_LONG = re.compile(r"[+-]?[0-9]{16,}")
_VERSION = re.compile(r"[0-9]{1,3}\.([0-9]{1,3})")
_VERSION_WORDS = re.compile(
    r"(^|[^a-z])(version|versions|ver|versión|versão|release|firmware|build)($|[^a-z])"
)
_ENOUGH = 0.01
FEW = 50


def names_reason(distinct: Sequence[str], counts: np.ndarray, name: str) -> str | None:
    """Why the cells are names, or None if they are numbers."""
    return (
        _leading_zeros(distinct, counts)
        or _exponents(distinct)
        or _long(distinct)
        or _phones(distinct)
        or _versions(distinct, counts, name)
    )


def _leading_zeros(distinct: Sequence[str], counts: np.ndarray) -> str | None:
    """Codes filled up with zeros; measurements of fixed width with decimals are numbers."""
    padded = [i for i, cell in enumerate(distinct) if _ZERO.fullmatch(cell)]
    if not padded:
        return None
    fractions = any(not cell.isdecimal() for cell in distinct)
    one_width = len({len(cell) for cell in distinct}) == 1
    enough = counts[padded].sum() >= _ENOUGH * counts.sum()
    if not enough and (fractions or not one_width):
        return None
    if fractions and len(distinct) > max(FEW, 0.5 * counts.sum()):
        return None
    return f"{NAMES}, as '{distinct[padded[0]]}' begins with a zero"


def _exponents(distinct: Sequence[str]) -> str | None:
    """Codes such as 12E4: programs write 1.2e+05 or 1E+05, people 1e5."""
    found = [match for cell in distinct if (match := _EXPONENT.fullmatch(cell))]
    if not found or any("." in cell or "," in cell for cell in distinct):
        return None
    long = [m[0] for m in found if len(m[1]) > 1 or (len(m[2]) > 1 and m[2][0] == "0")]
    capital = all("E" in match[0] for match in found)
    if not long and not (capital and len(found) == len(distinct) > 2):
        return None
    return f"{NAMES}, as '{(long or [found[0][0]])[0]}' looks like a code"


def _long(distinct: Sequence[str]) -> str | None:
    """Whole numbers that float64 does not hold: beyond 2 ** 53 not all are there."""
    for cell in distinct:
        if _LONG.fullmatch(cell) and int(float(cell)) != int(cell):
            return f"{NAMES}, as '{cell}' has more of them than a number can hold"
    return None


def _phones(distinct: Sequence[str]) -> str | None:
    if not all(map(_PHONE.fullmatch, distinct)):
        return None
    return f"{NAMES}, as '{distinct[0]}' is written like a phone number"


def is_named_like_a_version(name: str) -> bool:
    """Whether `3.10.12` under this name is no date."""
    return _VERSION_WORDS.search(name.casefold()) is not None


def _versions(distinct: Sequence[str], counts: np.ndarray, name: str) -> str | None:
    """Versions, which go from 3.9 to 3.10: fractions of one digit, and of more that end in zero."""
    if not 2 < len(distinct) <= min(FEW, 0.5 * counts.sum()):
        return None
    found = [_VERSION.fullmatch(cell) for cell in distinct]
    minor = [match[1] for match in found if match]
    if len(minor) < len(distinct) - sum(cell.isdecimal() for cell in distinct) or len(minor) < 3:
        return None
    named = is_named_like_a_version(name)
    counted = any(len(m) == 1 for m in minor) and not any(len(m) > 1 and m[0] == "0" for m in minor)
    tens = [cell for cell, match in zip(distinct, found, strict=True) if match and _ten(match[1])]
    if counted and (tens or named):
        return f"{NAMES}, as '{(tens or distinct)[0]}' is a version"
    return None


def _ten(minor: str) -> bool:
    return len(minor) > 1 and minor.endswith("0")
