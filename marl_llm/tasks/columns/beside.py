"""What the words beside the numbers of a column mean: units, thousands and millions, signs, limits,
flags.

In: the different cells of a column, and how often each occurs. Out: a `Beside`: a scale for each
word, which words say something of their own, and a note; or None for a column of other text. The
numbers are then read by `quantities.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns.quantities import quantity_of
from marl_llm.tasks.columns.signs_beside import read_signs
from marl_llm.tasks.columns.units import (
    ABOUT,
    COUNT,
    LETTERED_COUNTS,
    LIMITS,
    TITLES,
    Scale,
    meanings,
)
from marl_llm.tasks.columns.units_beside import units_of
from marl_llm.tasks.columns.words_found import Found, is_currency, readable

_LEAST_SHARE = 0.01
_MOST_CLASSES = 10


@dataclass(frozen=True)
class Beside:
    """What stands beside the numbers of a column.

    Attributes
    ----------
    scales : dict of word to factor, or factor and summand
        Parameters of `quantities_of`.
    shown : tuple of str
        Words that become a column of their own.
    label : str
        What that column holds: "unit", "currency", "flag" or "limit"; "" if there is none.
    unit : str
        What numbers were converted to, "" if they were not.
    note : str
        For people.
    known : bool
        Whether all words are known; if not, little else may stand in the column.
    """

    scales: Mapping[str, Scale]
    shown: tuple[str, ...] = ()
    label: str = ""
    unit: str = ""
    note: str = ""
    known: bool = True


def words_beside(
    distinct: Sequence[str],
    counts: np.ndarray,
    mark: str,
    unit: str | None = None,
    flags: bool = True,
    minus: str | None = None,
    named: bool = False,
) -> Beside | None:
    """Decide what the words beside numbers mean; None if they are no such words, or there are none.

    `unit`, `flags` and `minus` are what people say; `named`: they say that the column is numeric.

    Raises
    ------
    UserError
        If people named a unit that no word of the column can be converted to.
    """
    found = readable(distinct, counts, mark)
    if found is None:
        return None
    if not read_signs(found, minus) or (not named and _are_classes(found)):
        return None
    limits = _limits(found)
    currencies = _money(found)
    shown, label = _flags(found)
    scales = found.scales
    main, known = "", True
    rest = found.rest()
    if rest:
        decided = units_of(found, rest, unit)
        if decided is None:
            return None
        main, known, units = decided
        shown, label = (units, "unit") if units else (shown, label)
    if unit is not None and not main:
        raise no_unit(unit)
    if not shown and currencies:
        shown, label = currencies, "currency"
    if not shown and limits and _limits_say_something(found, limits, mark):
        shown, label = limits, "limit"
    if not flags:
        shown, label = (), ""
    note = "; ".join(found.notes)
    if shown:
        note += f"; the {label} is a column of its own"
    return Beside(dict(scales), tuple(shown), label, main, note, known)


def no_unit(unit: str) -> UserError:
    """The error of a unit that people named for a column without such units."""
    return UserError(
        f"no cell has a unit that can be converted to '{unit}': leave 'in' out, or choose another "
        "kind."
    )


def _limits(found: Found) -> tuple[str, ...]:
    """Words such as `<`, and the plus of `10,000+`."""
    front, behind = found.in_front(), found.behind()
    limits = [word for word in front if LIMITS.get(word.casefold())]
    about = [word for word in (*front, *behind) if word.casefold() in ABOUT]
    about += [word for word in front if word.casefold() in TITLES]
    found.scales |= dict.fromkeys((*limits, *about), 1.0)
    if "+" in behind and "+" not in found.scales:
        found.scales["+"] = 1.0
        limits.append("+")
    if limits:
        listed = ", ".join(f"'{word}'" for word in limits)
        found.notes.append(f"{listed} beside its numbers: read as the limit itself")
    if about:
        listed = ", ".join(f"'{word}'" for word in dict.fromkeys(about))
        found.notes.append(f"{listed} beside its numbers left out")
    return tuple(limits)


def _are_classes(found: Found) -> bool:
    """Whether few different cells have the same number on both sides of it: `<=50K` and `>50K`."""
    if len(found.cells) > _MOST_CLASSES:
        return False
    sides: dict[float, set[str]] = {}
    for before, numbers in found.scans:
        words = [LIMITS.get(word.casefold(), "") for word in before]
        sides.setdefault(numbers[0][0], set()).update(words)
    return any({"<", ">"} <= side for side in sides.values())


def _limits_say_something(found: Found, limits: tuple[str, ...], mark: str) -> bool:
    """Whether the number alone does not tell that it is a limit."""
    values = np.array([quantity_of(cell, mark, found.scales) for cell in found.cells])
    sides: dict[str, list[bool]] = {"<": [], ">": [], "": []}
    for before, numbers in found.scans:
        words = [*before, *(word for _, behind in numbers for word in behind)]
        side = next((LIMITS.get(w.casefold(), ">") for w in words if w in limits), "")
        for name, mask in sides.items():
            mask.append(name == side)
    known, low, high = (values[np.array(sides[side])] for side in ("", "<", ">"))
    if not len(known):
        return len(low) > 0 and len(high) > 0
    beyond = np.zeros(len(known), dtype=bool)
    if len(low):
        beyond |= known <= low.max()
    if len(high):
        beyond |= known >= high.min()
    free = found.weights[np.array(sides[""])]
    mixed = free[beyond].sum() >= _LEAST_SHARE * free.sum() and beyond.any()
    limited = found.weights[~np.array(sides[""])].sum()
    return bool(mixed and limited >= _LEAST_SHARE * found.weights.sum())


def _money(found: Found) -> tuple[str, ...]:
    """Currency and percent signs; those of several currencies, of which none is a rare slip."""
    words = found.in_front() + found.behind()
    money = [word for word in words if is_currency(word) or word in ("%", "‰")]
    found.scales |= dict.fromkeys(money, 1.0)
    if not money:
        return ()
    least = _LEAST_SHARE * found.weights.sum()
    currencies = tuple(w for w in money if is_currency(w) and words[w] >= least)
    listed = ", ".join(f"'{word}'" for word in money)
    if len(currencies) > 1:
        found.notes.append(f"several currencies, not converted: {listed}")
        return currencies
    found.notes.append(f"{listed} beside its numbers left out")
    return ()


def _flags(found: Found) -> tuple[tuple[str, ...], str]:
    """Stars and letters behind a minority of the numbers, as statistical offices write them."""
    rest = found.rest()
    if not rest or found.with_none_of(rest) < 0.5 or any(len(w) > 2 for w in rest):
        return (), ""
    signs = [word for word in rest if not word[0].isalnum()]
    letters = [word for word in rest if word[0].isalpha()]
    if len(signs) + len(letters) < len(rest) or (letters and set(letters) <= set(LETTERED_COUNTS)):
        return (), ""
    if any(COUNT in meanings(word) and word not in LETTERED_COUNTS for word in letters):
        return (), ""
    known = [meanings(word).keys() - {COUNT} for word in letters]
    units = any(len(w) == 2 and d for w, d in zip(letters, known, strict=True)) or (
        len(letters) > 1 and bool(frozenset.intersection(*map(frozenset, known)))
    )
    if units or (letters and not found.decimals() and not found.apart(letters)):
        return (), ""
    found.scales |= dict.fromkeys(rest, 1.0)
    listed = ", ".join(f"'{word}' ({n})" for word, n in rest.most_common())
    found.notes.append(f"flags beside its numbers: {listed}")
    enough = sum(rest.values()) >= _LEAST_SHARE * found.weights.sum()
    return (tuple(rest), "flag") if enough else ((), "")
