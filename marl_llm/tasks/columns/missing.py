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
    | {8888.0, 7777.0, 88888.0}
)
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
    while len(present) and float(-present.min()) in _SENTINELS and len(certain) < _LEAST + 1:
        lowest = float(present.min())
        rest = present[present != lowest]
        times = len(present) - len(rest)
        if times < _LEAST or times > _MOST * total or not len(rest):
            break
        low, high = float(rest.min()), float(rest.max())
        next_too = -low in _SENTINELS  # another one above it
        if low - lowest <= high - low and low < 0 and not next_too:
            break
        certain.append(lowest)
        present = rest
    if certain and not _alone_below(present, certain):
        return [], []
    return certain, [] if certain else _large(present)


def _alone_below(present: np.ndarray, certain: list[float]) -> bool:
    low, high = float(present.min()), float(present.max())
    return low >= 0 or low - max(certain) > high - low


def _large(present: np.ndarray) -> list[float]:
    if not len(present) or float(present.max()) not in _SENTINELS or present.max() < 999:
        return []
    highest = float(present.max())
    rest = present[present != highest]
    if len(present) - len(rest) < _LEAST or not len(rest):
        return []
    return [highest] if highest - rest.max() > 2 * (rest.max() - rest.min()) > 0 else []
