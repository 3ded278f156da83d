"""Numbers with something beside them: `350 g`, `9.6K`, `1.234,56-`, `500,00 CR`, `<0.5`, `1h 20m`.

In: the text of cells, a decimal mark, and what each word or sign beside the numbers stands for: a
factor, or a factor and a summand (temperatures). Out: float64 in one unit, NaN for a cell with
anything else in it. Which words a column knows is decided in `beside.py`, once, from the cells that
a model is trained on. The part below the mark stands in every delivered `solution.py`; it uses the
standard library and numpy only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from marl_llm.tasks.columns.cells import BLANK, CURRENCY, digits_pattern, plain_digits

# ---- solution.py goes on from here ----

WORD = (
    rf"(?<=[0-9][.,])[-–—]{{1,2}}|{CURRENCY}(?![^\W\d_])|°?[^\W\d_][\w./²³°]*|/{BLANK}?[0-9]+"
    rf"|±{BLANK}?[0-9]+(?:[.,][0-9]+)?|\[[0-9a-z]{{1,2}}\]|[^\w\s]"
)
SCANNED = {
    mark: re.compile(rf"{BLANK}*(?:(?P<digits>{digits_pattern(mark)})|(?P<word>{WORD}))")
    for mark in ".,"
}
FRONT = {"-": -1.0, "−": -1.0, "–": -1.0, "+": 1.0, "(": -1.0}  # signs that every column knows
MOST_WORDS = 4
AREAS = ("sq", "square", "cu", "cubic", "fl")  # one unit with the word behind them


def scanned(cell: str, mark: str) -> tuple[tuple[str, ...], list[tuple[float, tuple[str, ...]]]]:
    """Words in front of the first number, and each number with the words behind it; no numbers if
    the cell holds none, or anything else.

    Several numbers belong together only if each has a unit, as in `1h 20m`, `6 ft 2 in`.
    """
    before: list[str] = []
    numbers: list[tuple[float, list[str]]] = []
    position = 0
    while position < len(cell):
        found = SCANNED[mark].match(cell, position)
        if found is None:
            return (), []
        position = found.end()
        if found["digits"]:
            numbers.append((float(plain_digits(found["digits"], mark)), []))
            continue
        word = "±" if found["word"][0] == "±" else found["word"]
        if word[0] in "-–—" and cell[found.start("word") - 1] in ".,":
            word = ",-"  # no cents, and no minus
        words = numbers[-1][1] if numbers else before
        if word.isnumeric() or len(words) >= MOST_WORDS:
            return (), []
        if words and words[-1].casefold().rstrip(".") in AREAS:
            words[-1] = words[-1].casefold().rstrip(".") + word
        elif not numbers or word not in ("(", ")"):
            words.append("[ ]" if word[0] == "[" and len(word) > 1 else word)
    if len(numbers) > 1 and not all(words and is_unit(words[0]) for _, words in numbers):
        return (), []
    return tuple(before), [(number, tuple(words)) for number, words in numbers]


def is_unit(word: str) -> bool:
    """Whether a word can stand between two numbers of one quantity."""
    return word[0].isalpha() or word in ("'", '"', "′", "″")


def quantity_of(cell: str, mark: str, beside: Mapping[str, float | tuple[float, float]]) -> float:
    """The number in a cell in the unit of its column; NaN if it holds none or an unknown word."""
    before, numbers = known_parts(cell, mark, beside)
    if not numbers:
        return float("nan")
    total, shift = 0.0, 0.0
    for number, behind in numbers:
        value = number
        for word in behind:
            factor, added = scale_of(beside[word])
            value, shift = value * factor, shift + added
        total += value
    for word in before:
        total *= FRONT[word] if word in FRONT else scale_of(beside[word])[0]
    return total + shift


def known_parts(
    cell: str, mark: str, beside: Mapping[str, float | tuple[float, float]]
) -> tuple[tuple[str, ...], list[tuple[float, tuple[str, ...]]]]:
    """As `scanned`, but no numbers if a word is not known."""
    before, numbers = scanned(cell, mark)
    behind = {word for _, words in numbers for word in words}
    if behind <= beside.keys() and set(before) <= {*beside, *FRONT}:
        return before, numbers
    return (), []


def scale_of(scale: float | tuple[float, float]) -> tuple[float, float]:
    """What a word stands for, as a factor and a summand."""
    return scale if isinstance(scale, tuple) else (scale, 0.0)


def quantities_of(
    cells: Sequence[str], mark: str, beside: Mapping[str, float | tuple[float, float]]
) -> np.ndarray:
    """float64 of each cell in one unit, NaN where it is no number with known words beside it."""
    numbers = np.array([quantity_of(cell, mark, beside) for cell in cells], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def beside_of(
    cells: Sequence[str],
    mark: str,
    beside: Mapping[str, float | tuple[float, float]],
    shown: Sequence[str],
) -> np.ndarray:
    """Which of the words `shown` stand beside the number of each cell, "none" if none does, nan
    where there is no number; object.
    """
    flags: list[object] = []
    for cell in cells:
        before, numbers = known_parts(cell, mark, beside)
        words = [*before, *(word for _, behind in numbers for word in behind)]
        flags.append(" ".join(w for w in words if w in shown) or "none" if numbers else np.nan)
    return np.array([*flags, None], dtype=object)[:-1]
