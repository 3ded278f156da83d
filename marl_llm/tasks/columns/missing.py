"""Cells that mean missing where they do not look like it, and cells that do not where they do.

`NA` is a continent beside AS and EU, a country beside ZA and BW, a part of the world beside EMEA.
-999.9 is no temperature. In: the words, or numbers, of a column. Out: which of them to keep or to
leave out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

WORD = "NA"
_CONTINENTS = frozenset({"AF", "AN", "AS", "EU", "OC", "SA"})
_REGIONS = _CONTINENTS | {
    "EMEA", "APAC", "LATAM", "AMER", "ANZ", "MEA", "LAM", "LA", "CA", "ME", "JP", "APJ", "ROW", "UK"
}  # fmt: skip
_COUNTRY_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO "
    "BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ "
    "DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP "
    "GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG "
    "KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML "
    "MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF "
    "PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM "
    "SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US "
    "UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW UK EL XK"
)
_COUNTRIES = frozenset(_COUNTRY_CODES.split())
_STATE_CODES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH "
    "NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR"
)
_STATES = frozenset(_STATE_CODES.split())
_SENTINELS = frozenset(
    {float("9" * n) for n in range(2, 8)}
    | {float("9" * n + ".9") for n in range(2, 7)}
    | {float("9" * n + ".99") for n in range(2, 7)}
    | {999.25, 9999.25, 6999.0, 32768.0, 2147483648.0, 1e20, 1e30, 1e34, 1e36, 9.96921e36}
    | {float(d * n) for d in "678" for n in (2, 3, 4, 5)}
)
_FILL_VALUES = frozenset({1e20, 1e30, 1e34, 1e35, 1e36, 1e37, 9.96921e36, 3.4028235e38})
"""What programs of the sciences write into empty cells of a grid."""
_ANSWERS = frozenset({-9.0, -8.0, -7.0, -6.0, 66.0, 77.0, 88.0, 97.0, 98.0, 99.0})
"""What surveys write for refused, unknown and the like, beside answers up to ten."""
_LEAST_LARGE = 999
_MOST_ANSWERS = 10
_APART = 0.1  # of the range of all other values
_LEAST = 2
_MOST = 0.6


def is_a_place(others: Iterable[str]) -> bool:
    """Whether NA is a continent, a country or a part of the world beside other words; not where all
    others can be states of the USA, which has no NA.
    """
    words = set(others)
    if len(words) < _LEAST or words <= _STATES:
        return False
    return words <= _REGIONS or words <= _COUNTRIES


def looks_like_codes(others: Iterable[str]) -> bool:
    """Whether all words are two capital letters, as NA is."""
    words = set(others)
    return len(words) >= _LEAST and all(
        len(word) == 2 and word.isascii() and word.isalpha() and word.isupper() for word in words
    )


def sentinels(numbers: np.ndarray) -> tuple[list[float], list[float]]:
    """Numbers that stand for missing, and numbers that may.

    -99, -999.9, -9999 and the like are certain where they repeat and lie further below all other
    values than these lie apart, or are the only ones below zero. Large positive ones may be values.
    """
    certain: list[float] = []
    present = numbers[np.isfinite(numbers)]
    total = len(present)
    fills, present = _fills(present)
    certain += fills
    while len(present) and _is_sentinel(-present.min()) and len(certain) < _LEAST + 1:
        lowest = float(present.min())
        rest = present[present != lowest]
        times = len(present) - len(rest)
        if times < _LEAST or times > _MOST * total or not len(rest):
            break
        low, high = float(rest.min()), float(rest.max())
        next_too = _is_sentinel(-low)  # another one above it
        if low - lowest <= high - low and low < 0 and not next_too:
            break
        certain.append(lowest)
        present = rest
    if certain and not fills and not _alone_below(present, certain):
        return [], _lowest(numbers[np.isfinite(numbers)])
    return certain, [] if certain else [*_large(present), *_lowest(present)]


def _fills(present: np.ndarray) -> tuple[list[float], np.ndarray]:
    """Fill values that repeat, a thousand times as large as all others, and the others."""
    certain: list[float] = []
    for fill in _FILL_VALUES:
        filled = np.isclose(present, fill, rtol=1e-4)
        rest = present[~filled]
        if filled.sum() >= _LEAST and len(np.unique(rest)) > _LEAST and rest.max() < fill / 1_000:
            certain += sorted(set(present[filled].tolist()))
            present = rest
    return certain, present


def _is_sentinel(number: float) -> bool:
    return float(number) in _SENTINELS or bool(np.isclose(number, 9.96921e36, rtol=1e-4))


def _lowest(present: np.ndarray) -> list[float]:
    """A number below all others that repeats, and that programs or surveys write for missing."""
    if not len(present):
        return []
    lowest = float(present.min())
    rest = present[present != lowest]
    known = -lowest in _SENTINELS or (lowest in _ANSWERS and lowest < 0)
    if not known or len(present) - len(rest) < _LEAST or len(np.unique(rest)) <= _LEAST:
        return []
    low, high = float(rest.min()), float(rest.max())
    apart = low - lowest > _APART * (high - low) and (rest == low).sum() < len(present) - len(rest)
    answers = lowest in _ANSWERS and low >= 0 and high <= _MOST_ANSWERS
    return [lowest] if (answers if lowest in _ANSWERS else apart) else []


def _alone_below(present: np.ndarray, certain: list[float]) -> bool:
    low, high = float(present.min()), float(present.max())
    return low >= 0 or low - max(certain) > high - low


def _large(present: np.ndarray) -> list[float]:
    if not len(present):
        return []
    highest = float(present.max())
    rest = present[present != highest]
    if len(present) - len(rest) < _LEAST or not len(rest):
        return []
    low, high = float(rest.min()), float(rest.max())
    answers = highest in _ANSWERS and low >= 0 and high <= _MOST_ANSWERS
    if not answers and (highest not in _SENTINELS or highest < _LEAST_LARGE):
        return []
    return [highest] if highest - high > 2 * (high - low) > 0 else []
