"""What people say of one column in one line: a kind, and what belongs to it.

    weight: numeric in kg
    area: numeric decimal comma
    temperature: numeric missing -999.9
    continent: categorical keep NA
    lead: numeric flags no
    start: numeric clock m:s
    amount: numeric minus C

In: the line. Out: an `Override`. A word with blanks stands in quotes.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Literal, get_args

from marl_llm.core.errors import UserError

KindName = Literal[
    "numeric",
    "categorical",
    "date",
    "day-first date",
    "month-first date",
    "excel date",
    "text",
    "ignore",
]
KINDS: tuple[str, ...] = get_args(KindName)
_CHOICES: dict[str, dict[str, str]] = {
    "decimal": {"comma": ",", "point": ".", ",": ",", ".": "."},
    "clock": {"h:m": "h:m", "m:s": "m:s"},
    "flags": {"no": "no"},
}
_WORDS = ("in", "minus", "missing", "keep")
_OF_NUMBERS = ("decimal", "in", "flags", "clock", "minus")


@dataclass(frozen=True)
class Override:
    """How a column is to be read.

    Attributes
    ----------
    kind : str or None
        One of `KINDS`; None is to be detected.
    decimal : "." or ",", or None for that of the column
    unit : str or None
        Numbers with units are converted to it.
    clock : "h:m" or "m:s", or None
        What 08:37 stands for.
    minus : str or None
        Which of two words of bookkeeping beside the numbers, as C and D, makes them negative.
    flags : bool
        Whether what stands beside numbers may become a column of its own.
    missing, keep : tuple of str
        Words that mean missing in this column; usual words for missing that are values here.
    """

    kind: str | None = None
    decimal: str | None = None
    unit: str | None = None
    clock: str | None = None
    minus: str | None = None
    flags: bool = True
    missing: tuple[str, ...] = field(default=())
    keep: tuple[str, ...] = field(default=())


def parse_override(line: str | None) -> Override:
    """Read the line of a column.

    Raises
    ------
    UserError
        For an unknown kind or option, an option without its word, or one that the kind has not.
    """
    if line is None:
        return Override()
    try:
        words = shlex.split(line)
    except ValueError:
        raise UserError(f"'{line}' opens a quotation mark and does not close it.") from None
    kind = next((k for k in KINDS if words[: len(k.split())] == k.split()), None)
    if kind is None:
        raise UserError(f"choose {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    rest = words[len(kind.split()) :]
    options: dict[str, list[str]] = {}
    while rest:
        options.setdefault(rest[0], []).append(_value(kind, rest))
        rest = rest[2:]
    chosen = {key: found[-1] for key, found in options.items()}
    return Override(
        kind,
        decimal=chosen.get("decimal"),
        unit=chosen.get("in"),
        clock=chosen.get("clock"),
        minus=chosen.get("minus"),
        flags="flags" not in chosen,
        missing=tuple(options.get("missing", ())),
        keep=tuple(options.get("keep", ())),
    )


def _value(kind: str, rest: list[str]) -> str:
    key = rest[0]
    if key not in _CHOICES and key not in _WORDS:
        raise UserError(
            f"behind '{kind}' can stand {', '.join((*_CHOICES, *_WORDS))}, not '{key}'."
        )
    if kind == "ignore" or (key in _OF_NUMBERS and kind not in ("numeric", "excel date")):
        raise UserError(f"'{key}' does not go with '{kind}'.")
    choices = _CHOICES.get(key)
    if len(rest) < 2 or (choices and rest[1] not in choices):
        wanted = " or ".join(c for c in choices if len(c) > 1) if choices else "a word"
        raise UserError(f"behind '{key}' stands {wanted}.")
    return choices[rest[1]] if choices else rest[1]


def option(key: str, word: str) -> str:
    """One option as it stands in a line, with a blank in front."""
    plain = word.isprintable() and word and not set(word) & set(" '\"\\")
    return f" {key} {word if plain else shlex.quote(word)}"
