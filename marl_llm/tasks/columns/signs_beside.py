"""Words and marks beside the numbers of a column that mean minus, or parts of a whole.

In: the words that were found. Out: their scales and notes in `Found`: a minus behind the number, CR
and DR, arrows, the hemispheres and minutes of coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from marl_llm.tasks.columns.override import option
from marl_llm.tasks.columns.quantities import FRONT
from marl_llm.tasks.columns.units import (
    ARROWS,
    COUNT,
    HEMISPHERES,
    PARTS_OF_DEGREES,
    RUPEES,
    SIGN_PAIRS,
    meanings,
)
from marl_llm.tasks.columns.words_found import Found, is_currency

_FOOT = 12  # inches


def read_signs(found: Found, minus: str | None) -> bool:
    """Find what means minus, unless people said which word of a pair does; False where plus and
    minus are grades.
    """
    behind = found.behind()
    words = {word.casefold().rstrip("."): word for word in (*found.in_front(), *behind)}
    if "-" in behind or "−" in behind:
        if not found.decimals() and max(map(abs, found.values())) < 10:
            return False
        found.scales |= {sign: FRONT[sign] for sign in ("-", "−", "+") if sign in behind}
        found.notes.append("'-' behind its numbers read as minus")
    for less, more in SIGN_PAIRS:
        if less in words and more in words:
            swapped = minus is not None and minus.casefold().rstrip(".") == more
            _read_pair(found, words, *((more, less) if swapped else (less, more)))
    _lone_credit(found, words)
    _hemispheres(found)
    _primes(found)
    _arrows(found, words)
    return True


def _read_pair(found: Found, words: Mapping[str, str], less: str, more: str) -> None:
    """CR and DR, or single letters beside amounts with cents."""
    behind = found.behind()
    others = behind.keys() - found.scales.keys() - {words[less], words[more]}
    letters = words[less] + words[more]
    if len(less) == 1 and (
        not letters.isupper() or not _cents(found) or any(map(_is_word, others))
    ):
        return
    for word in (*found.in_front(), *behind):
        if word.casefold().rstrip(".") in (less, more):
            found.scales[word] = -1.0 if word.casefold().rstrip(".") == less else 1.0
    found.notes.append(
        f"'{words[less]}' beside its numbers read as minus; 'numeric{option('minus', words[more])}'"
        f" reads '{words[more]}' so"
    )


def _lone_credit(found: Found, words: Mapping[str, str]) -> None:
    behind, lone = found.behind(), words.get("cr")
    if not lone or "dr" in words or lone in found.scales:
        return
    some_without = found.with_none_of([lone]) > 0 and lone in behind
    crores = any(COUNT in meanings(word) for word in behind if word != lone) or any(
        word.startswith(RUPEES) for word in (*found.in_front(), *behind)
    )
    if some_without and not crores and _cents(found):
        found.scales[lone] = -1.0
        found.notes.append(f"'{lone}' beside its numbers read as minus")


def _hemispheres(found: Found) -> None:
    """N, S, E and W behind coordinates, and their degrees, minutes and seconds."""
    behind = found.behind()
    letters = {word.casefold().lstrip("°"): word for word in behind}
    parts = {word: PARTS_OF_DEGREES[word] for word in behind if word in PARTS_OF_DEGREES}
    degrees = any(len(numbers) > 1 for _, numbers in found.scans) and parts.keys() & {"°", "º"}
    if degrees:
        found.scales |= parts
        found.notes.append("degrees, minutes and seconds read in degrees")
    for minus, plus in HEMISPHERES:
        either = {minus, plus} & letters.keys() if degrees else {minus, plus} <= letters.keys()
        if not either or not letters.keys() <= {minus, plus, "", *PARTS_OF_DEGREES}:
            continue
        if not degrees and not found.decimals():
            continue
        for word in behind:
            side = word.casefold().lstrip("°")
            if side in (minus, plus) or not degrees:
                found.scales[word] = -1.0 if side == minus else 1.0
        if minus in letters:
            found.notes.append(f"'{letters[minus]}' behind its numbers read as minus")


def _primes(found: Found) -> None:
    """`5'23"` where more than twelve inches would stand behind feet: minutes and seconds."""
    behind = found.behind()
    minutes, seconds = {"'", "′", "’"} & behind.keys(), {'"', "″", "”"} & behind.keys()
    small = [numbers[1][0] for _, numbers in found.scans if len(numbers) == 2]
    both = minutes and seconds and behind.keys() == minutes | seconds
    if both and max(small, default=0) >= _FOOT:
        found.scales |= dict.fromkeys(minutes, 1.0) | dict.fromkeys(seconds, 1 / 60)
        found.notes.append("minutes and seconds read in min")


def _arrows(found: Found, words: Mapping[str, str]) -> None:
    arrows = {word: ARROWS[word] for word in words.values() if word in ARROWS}
    down = ", ".join(f"'{word}'" for word, sign in arrows.items() if sign < 0)
    found.scales |= arrows
    if arrows:
        found.notes.append(
            f"{down} beside its numbers read as minus" if down else "arrows left out"
        )


def _cents(found: Found) -> bool:
    return all(re.search(r"[.,][0-9]{2}(?![0-9])", cell) for cell in found.cells)


def _is_word(word: str) -> bool:
    return any(character.isalpha() for character in word) and not is_currency(word)
