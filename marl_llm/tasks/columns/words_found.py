"""The words that stand before and behind the numbers of a column, counted.

In: the different cells of a column, and how often each occurs. Out: `Found`, which the modules that
decide what the words mean fill in; None where the column holds plain numbers, or none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from marl_llm.tasks.columns.cells import CURRENCY
from marl_llm.tasks.columns.quantities import BELONGING, FRONT, scanned
from marl_llm.tasks.columns.units import ABOUT, ARROWS, FILLERS, LIMITS, TITLES, Scale

_CURRENCY = re.compile(CURRENCY)
_PADDED = re.compile(r"^[^0-9]*0[0-9]")


@dataclass
class Found:
    """The readable cells of a column, and what is decided of their words so far.

    Attributes
    ----------
    cells : list of str
    weights : ndarray
        How often each occurs.
    scans : list
        Words in front, and each number with the words behind it; see `scanned`.
    scales : dict of word to factor, or factor and summand
    notes : list of str
        For people.
    """

    cells: list[str]
    weights: np.ndarray
    scans: list[tuple[tuple[str, ...], list[tuple[float, tuple[str, ...]]]]]
    scales: dict[str, Scale] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def behind(self) -> Counter[str]:
        """Cells with each word behind a number."""
        return self._count(
            dict.fromkeys(word for _, words in numbers for word in words)
            for _, numbers in self.scans
        )

    def in_front(self) -> Counter[str]:
        """Cells with each word in front of the number."""
        return self._count(dict.fromkeys(before) for before, _ in self.scans)

    def rest(self) -> Counter[str]:
        """Cells with each word that has no meaning yet."""
        return Counter({w: n for w, n in self.behind().items() if w not in self.scales})

    def with_none_of(self, words: Iterable[str]) -> float:
        """Share of the cells that have none of these words behind their numbers."""
        wanted = set(words)
        free = [
            not any(w in wanted for _, behind in numbers for w in behind)
            for _, numbers in self.scans
        ]
        return float(self.weights[free].sum() / self.weights.sum())

    def values(self) -> list[float]:
        """The numbers as they stand."""
        return [number for _, numbers in self.scans for number, _ in numbers]

    def decimals(self) -> bool:
        """Whether some number has decimals."""
        return any(value % 1 for value in self.values())

    def apart(self, words: Iterable[str]) -> bool:
        """Whether a blank stands in front of these words wherever they stand."""
        listed = "|".join(re.escape(word) for word in words)
        return not any(re.search(rf"[0-9.,](?:{listed})", cell) for cell in self.cells)

    def _count(self, sets: Iterable[Iterable[str]]) -> Counter[str]:
        counted: Counter[str] = Counter()
        for words, weight in zip(sets, self.weights, strict=True):
            for word in words:
                counted[word] += int(weight)
        return counted


def is_currency(word: str) -> bool:
    """Whether a word or sign names a currency."""
    return _CURRENCY.fullmatch(word) is not None


def readable(distinct: Sequence[str], counts: np.ndarray, mark: str) -> Found | None:
    """The cells that hold numbers and nothing unreadable, or None if nothing stands beside them."""
    cells, weights, scans = [], [], []
    for cell, count in zip(distinct, counts, strict=True):
        before, numbers = scanned(cell, mark)
        clock = any(word.casefold() == "uhr" for _, words in numbers for word in words)
        if numbers and not clock and all(_can_lead(word) for word in before):
            if before and before[0].casefold() in TITLES and _PADDED.search(cell):
                return None  # `#0012` is a name
            cells.append(cell)
            weights.append(count)
            scans.append((before, numbers))
    if not cells:
        return None
    found = Found(cells, np.array(weights), scans)
    if not found.behind() and found.in_front().keys() <= FRONT.keys():
        return None
    belonging = [word for word in BELONGING if word in found.behind()]
    if belonging:
        found.scales |= dict.fromkeys(belonging, 1.0)
        example = next(
            c for c, scan in zip(cells, scans, strict=True) if set(belonging) & set(scan[1][0][1])
        )
        found.notes.append(f"fractions and powers of ten read, as in '{example}'")
    first = {words[0] for _, numbers in scans for _, words in numbers if words}
    if any(len(numbers) > 1 for _, numbers in scans):  # `3 años y 2 meses`, but not `5y 3m`
        found.scales |= {w: 1.0 for w in found.behind() if w in FILLERS and w not in first}
    return found


def _can_lead(word: str) -> bool:
    lower = word.casefold()
    return (
        word in FRONT
        or lower in LIMITS
        or lower in ABOUT
        or word in ARROWS
        or lower in TITLES
        or is_currency(word)
        or lower.rstrip(".") in ("cr", "dr")
    )
