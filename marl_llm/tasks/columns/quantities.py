"""Numbers with something beside them: `350 g`, `9.6K`, `1.234,56-`, `500,00 CR`, `<0.5`, `1h 20m`.

In: the text of cells, a decimal mark, and what each word or sign beside the numbers stands for: a
factor, or a factor and a summand (temperatures). Out: float64 in one unit, NaN for a cell with
anything else in it. Which words a column knows is decided in `beside.py`, once, from the cells that
a model is trained on. The part below the mark stands in every delivered `solution.py`; it uses the
standard library and numpy only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from marl_llm.tasks.columns.cells import BLANK, CURRENCY, digits_pattern, plain_digits
from marl_llm.tasks.columns.ranges import middle_of

# ---- solution.py goes on from here ----

WORD = (
    rf"(?<=[0-9][.,])[-–—]{{1,2}}|{CURRENCY}(?![^\W\d_])|°?[^\W\d_][\w./²³°]*|/{BLANK}?[0-9]+"
    rf"|±{BLANK}?[0-9]+(?:[.,][0-9]+)?|\[[0-9a-z]{{1,2}}\]|[^\w\s]"
)
SCANNED = {
    mark: re.compile(rf"{BLANK}*(?:(?P<digits>{digits_pattern(mark)})|(?P<word>{WORD}))")
    for mark in ".,"
}
ASIDE = re.compile(
    rf"(?P<over>{BLANK}[1-9][0-9]?/(?:2|3|4|8|16|32|64))(?![0-9])|(?P<part>[½¼¾⅓⅔⅛⅜⅝⅞])"
    rf"|{BLANK}*(?:[x×·*]{BLANK}?10(?:(?:\^|\*\*)(?P<power>[+\-−]?[0-9]+)|(?P<raised>⁻?[⁰¹²³⁴-⁹]+))"
    rf"|(?P<bracket>\([^()]*[0-9][^()]*\))|(?P<at>(?:@|at\b){BLANK}?[0-9].*)"
    rf"|(?P<plus>\+[0-9]+)|(?:out of|of|von|de|sur){BLANK}(?P<most>[0-9]+))"
)
"""Behind a number: what belongs to it, as in `1 1/2` and `1.2 x 10^6`, or is said aside, as in
`6.78 (3)`, `74 bhp @ 4000 rpm`, `4 out of 5`.
"""
BELONGING = ("½", "×")
SMALL = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
FORMULA = re.compile(r'="(?P<inside>[^"]*)"')  # keeps Excel from reading the text
NOTHING = re.compile(rf"(?:{CURRENCY}{BLANK}*[-–]|[-–]{BLANK}*{CURRENCY})")  # how Excel shows zero
FRONT = {"-": -1.0, "−": -1.0, "–": -1.0, "+": 1.0, "(": -1.0}  # signs that every column knows
MOST_WORDS = 4
AREAS = ("sq", "square", "cu", "cubic", "fl")  # one unit with the word behind them


def scanned(cell: str, mark: str) -> tuple[tuple[str, ...], list[tuple[float, tuple[str, ...]]]]:
    """Words in front of the first number, and each number with the words behind it; no numbers if
    the cell holds none, or anything else.

    Several numbers belong together only if each has a unit, as in `1h 20m`, `6 ft 2 in`.
    """
    if NOTHING.fullmatch(cell):
        return (), [(0.0, (cell.strip("-– "),))]
    formula = FORMULA.fullmatch(cell)
    before: list[str] = [] if formula is None else ["="]
    numbers = numbers_in(cell if formula is None else formula["inside"], mark, before)
    if len(numbers) == 2 and numbers[0][1] == ["'"] and not numbers[1][1]:
        numbers[1][1].append('"')  # `5'11`
    if len(numbers) > 1 and not all(words and is_unit(words[0]) for _, words in numbers):
        return (), []
    return tuple(before), [(number, tuple(words)) for number, words in numbers]


def numbers_in(cell: str, mark: str, before: list[str]) -> list[tuple[float, list[str]]]:
    """Each number with the words behind it; those in front of the first are added to `before`."""
    numbers: list[tuple[float, list[str]]] = []
    position = 0
    while position < len(cell):
        aside = ASIDE.match(cell, position) if numbers else None
        found = aside or SCANNED[mark].match(cell, position)
        if found is None:
            return []
        position = found.end()
        if aside is not None:
            numbers[-1] = with_aside(*numbers[-1], aside)
        elif found["digits"]:
            numbers.append((float(plain_digits(found["digits"], mark)), []))
        elif not add_word(found, cell, numbers[-1][1] if numbers else before, bool(numbers)):
            return []
    return numbers


def add_word(found: re.Match[str], cell: str, words: list[str], behind: bool) -> bool:
    """Add a word to those at its place; False if it is none, or there are too many."""
    word = "±" if found["word"][0] == "±" else found["word"]
    if word[0] in "-–—" and cell[found.start("word") - 1] in ".,":
        word = ",-"  # no cents, and no minus
    if word.isdigit() or len(words) >= MOST_WORDS:
        return False
    if words and words[-1].casefold().rstrip(".") in AREAS:
        words[-1] = words[-1].casefold().rstrip(".") + word
    elif not behind or word not in ("(", ")"):
        words.append("[ ]" if word[0] == "[" and len(word) > 1 else word)
    return True


def with_aside(number: float, words: list[str], aside: re.Match[str]) -> tuple[float, list[str]]:
    """A number with what belongs to it, and a word for what was said aside."""
    if aside["over"]:
        over, under = aside["over"].strip().split("/")
        return number + int(over) / int(under), [*words, "½"]
    if aside["part"]:
        return number + unicodedata.numeric(aside["part"]), [*words, "½"]
    if power := aside["power"] or aside["raised"]:
        return float(f"{number!r}e{int(power.translate(SMALL))}"), [*words, "×"]
    if aside["most"]:
        return number, [*words, f"/{aside['most']}"]
    return number, [*words, "( )" if aside["bracket"] else "@" if aside["at"] else "+ "]


def is_unit(word: str) -> bool:
    """Whether a word can stand between two numbers of one quantity."""
    return word[0].isalpha() or word in ("'", '"', "′", "″", "’", "”", "°", "º")


def quantity_of(cell: str, mark: str, beside: Mapping[str, float | tuple[float, float]]) -> float:
    """The number in a cell in the unit of its column; NaN if it holds none or an unknown word."""
    before, numbers = known_parts(cell, mark, beside)
    if not numbers:
        return float("nan")
    total, shift, sign = 0.0, 0.0, 1.0
    for number, behind in numbers:
        value = number
        for word in behind:
            factor, added = scale_of(beside[word])
            sign *= -1.0 if factor == -1 else 1.0  # of all numbers of the cell: `33° 52' S`
            value, shift = value * abs(factor), shift + added
        total += value
    for word in before:
        sign *= FRONT[word] if word in FRONT else scale_of(beside[word])[0]
    return total * sign + shift


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
    cells: Sequence[str],
    mark: str,
    beside: Mapping[str, float | tuple[float, float]],
    ranges: bool = False,
) -> np.ndarray:
    """float64 of each cell in one unit, NaN where it is no number with known words beside it; with
    `ranges`, the middle of `10-20`.
    """
    if ranges:
        cells = [middle_of(cell, mark) for cell in cells]
    numbers = np.array([quantity_of(cell, mark, beside) for cell in cells], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def beside_of(
    cells: Sequence[str],
    mark: str,
    beside: Mapping[str, float | tuple[float, float]],
    shown: Sequence[str],
    ranges: bool = False,
) -> np.ndarray:
    """Which of the words `shown` stand beside the number of each cell, "none" if none does, nan
    where there is no number; object.
    """
    flags: list[object] = []
    for cell in cells:
        before, numbers = known_parts(middle_of(cell, mark) if ranges else cell, mark, beside)
        words = [*before, *(word for _, behind in numbers for word in behind)]
        flags.append(" ".join(w for w in words if w in shown) or "none" if numbers else np.nan)
    return np.array([*flags, None], dtype=object)[:-1]
