"""Which units, thousands and millions the words behind the numbers of a column are.

In: the words that were found. Out: their scales in `Found.scales`, the unit that all were converted
to, or the units that cannot be converted into each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns.dates import month_of
from marl_llm.tasks.columns.quantities import scale_of
from marl_llm.tasks.columns.units import COUNT, LETTERED_COUNTS, RUPEES, Scale, meanings
from marl_llm.tasks.columns.words_found import Found, is_currency

_ORDINALS = frozenset({"st", "nd", "rd", "th", "º", "ª", "er", "ème", "e"})
_SIGNS = {"'": "ft", "′": "ft", '"': "in", "″": "in"}
_LEAST_NUMBERS = 3
_MOST_UNITS = 6
_RARE = 0.05
_LEAST_SHARE = 0.01


def units_of(
    found: Found, rest: Counter[str], unit: str | None
) -> tuple[str, bool, tuple[str, ...]] | None:
    """The unit converted to ("" if none), whether all words are known, and units that cannot be
    converted into each other; None where the words are no units.
    """
    words = list(rest)
    if set(words) <= _ORDINALS:
        return None
    slips = [w for w in words if not meanings(w) and rest[w] <= _RARE * found.weights.sum()]
    if len(slips) < len(words) and all(meanings(word) for word in words if word not in slips):
        words = [word for word in words if word not in slips]
    counts = _count_words(found, words)
    if counts:
        found.scales |= counts
        listed = ", ".join(f"'{word}'" for word in counts)
        found.notes.append(f"{listed} behind its numbers multiplied out")
        words = [word for word in words if word not in counts]
        if not words:
            return "", True, ()
    shared = _shared_dimension(found, words)
    if shared is not None:
        return _converted(found, rest, words, shared, unit), True, ()
    return _unconverted(found, rest, words)


def _count_words(found: Found, words: Sequence[str]) -> dict[str, float]:
    """K, M, million and the like among the words, with their factors."""
    letters = [word for word in words if word in LETTERED_COUNTS]
    capital = any(word.isupper() for word in letters)
    money = any(is_currency(word) for word in found.scales)
    alone = len(letters) == len(words) or money
    attached = bool(letters) and (money or not found.apart(letters))
    taken: dict[str, float] = {}
    if letters and alone and attached and (capital or money or len(letters) > 1):
        taken |= {word: LETTERED_COUNTS[word] for word in letters}
    if letters == ["k"] and alone and attached:
        taken["k"] = 1e3
    others = [word for word in words if word not in letters and COUNT in meanings(word)]
    dimensions = [meanings(word).keys() - {COUNT} for word in words if word not in taken]
    crores = [word for word in words if word.casefold().rstrip(".") == "cr"]
    if others or any(word.startswith(RUPEES) for word in found.scales):
        taken |= dict.fromkeys(crores, 1e7)
    if others and not (dimensions and set.intersection(*map(set, dimensions))):
        taken |= {word: scale_of(meanings(word)[COUNT])[0] for word in others}
    return taken


def _year() -> float:
    return scale_of(meanings("year")["time"])[0]


def _shared_dimension(found: Found, words: Sequence[str]) -> str | None:
    shared = [d for d in meanings(words[0]) if all(d in meanings(word) for word in words)]
    shared = [d for d in shared if d != COUNT]
    if not shared:
        return None
    if len(words) > 1 and all(len(word) == 1 for word in words) and "h" not in words:
        compound = any(len(numbers) > 1 for _, numbers in found.scans)
        if not (compound or found.decimals() or found.apart(words)):
            return None
    return shared[0]


def _converted(
    found: Found, rest: Counter[str], words: Sequence[str], dimension: str, unit: str | None
) -> str:
    """Scales of units of one dimension, to the one that people named or most cells have."""
    scales = {word: meanings(word)[dimension] for word in words}
    others = [scale_of(scale)[0] for word, scale in scales.items() if word != "m"]
    if dimension == "time" and "m" in scales and others and min(others) >= _year():
        scales["m"] = meanings("month")["time"]  # `5y 3m`
    weight: Counter[Scale] = Counter()
    for word in words:
        weight[scales[word]] += rest[word]
    target = min(weight, key=lambda scale: (-weight[scale], scale_of(scale)[0]))
    if unit is not None:
        if dimension not in meanings(unit):
            raise UserError(
                f"'{unit}' is no unit that {', '.join(words[:5])} can be converted to: choose "
                f"{' or '.join(words[:5])}."
            )
        target = meanings(unit)[dimension]
    main = unit or next(w for w, _ in rest.most_common() if scales.get(w) == target)
    main = _SIGNS.get(main, main)
    factor, summand = scale_of(target)
    for word, scale in scales.items():
        own, added = scale_of(scale)
        ratio = _rounded(own / factor)
        found.scales[word] = (
            (ratio, _rounded((added - summand) / factor)) if added or summand else ratio
        )
    listed = ", ".join(f"'{word}'" for word in words)
    if len(weight) > 1 or unit is not None:
        found.notes.append(f"{listed} beside its numbers: read in {main}")
        without = found.with_none_of(words)
        if without:
            found.notes.append(f"numbers without a unit ({without:.1%}) taken as {main}")
        return main
    found.notes.append(f"{listed} beside its numbers left out")
    return ""


def _rounded(ratio: float) -> float:
    """Twelve inches to the foot, not 12.000000000000002."""
    short = float(f"{ratio:.12g}")
    return short if math.isclose(short, ratio, rel_tol=1e-15) else ratio


def _unconverted(
    found: Found, rest: Counter[str], words: Sequence[str]
) -> tuple[str, bool, tuple[str, ...]] | None:
    """Units that are not known, or cannot be converted into each other."""
    numbers = len(set(found.values()))
    stems = {word.casefold().rstrip(".").removesuffix("s") for word in words}
    phrases = {tuple(w for w in b if w in rest) for _, ns in found.scans for _, b in ns} - {()}
    one_phrase = len(phrases) == 1 or len(stems) == 1
    of_one_word = all(len(phrase) == 1 for phrase in phrases)
    if numbers < _LEAST_NUMBERS or not (one_phrase or of_one_word):
        return None
    without = found.with_none_of(words)
    if one_phrase and without < 0.5:
        listed = " ".join(next(iter(phrases))) if len(phrases) == 1 else "', '".join(words)
        found.scales |= dict.fromkeys(words, 1.0)
        found.notes.append(f"'{listed}' beside its numbers left out")
        return "", False, ()
    several = 2 <= len(words) <= _MOST_UNITS and numbers >= 2 * len(words)
    usual = all(rest[word] >= _LEAST_SHARE * found.weights.sum() for word in words)
    if not several or not usual or without > 0 or not found.apart(words):
        return None
    if not all(_may_be_a_unit(word) for word in words):
        return None
    found.scales |= dict.fromkeys(words, 1.0)
    listed = ", ".join(f"'{word}' ({rest[word]})" for word in words)
    found.notes.append(
        f"units that cannot be converted into each other: {listed}: numbers read as they stand"
    )
    return "", False, tuple(words)


def _may_be_a_unit(word: str) -> bool:
    """Whether a word is no letter that stands alone (`9 B` is a class of a school), no month and no
    `Q1`.
    """
    return len(word) > 1 and not month_of(word) and not any(c.isdigit() for c in word)
