"""How numbers, levels and dates are spelled in answers, and how an answer is kept under its token
budget.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from marl_llm.environment.memory import TokenCounter

_LEVEL_CHARACTERS = 12
_CUT = "..."


def short(value: float) -> str:
    """Two digits, whole numbers from 100 on: of quantiles and means."""
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def number(value: float) -> str:
    """Three digits of any number."""
    return f"{value:.3g}"


def fixed(value: float, digits: int = 2) -> str:
    """So many decimals, and no negative zero."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}"


def level(value: object) -> str:
    """A level of a category, on one line, its first characters."""
    return " ".join(str(value).split())[:_LEVEL_CHARACTERS]


def day(days: float) -> str:
    """The date of a number of days since 1970-01-01."""
    return str(np.datetime64(int(np.floor(days)), "D"))


@dataclass(frozen=True)
class Answer:
    """An answer before it is spelled: a head, then items, the important ones first, with `joint` in
    between.
    """

    items: tuple[str, ...]
    head: str = ""
    joint: str = "; "

    def render(self, budget: int, count: TokenCounter) -> str:
        """The answer in at most `budget` tokens, as `count` counts them.

        Items are left out from the end, and their number is said; an answer whose first item alone
        is too long is cut within it.
        """
        for kept in range(len(self.items), 0, -1):
            text = self._text(kept)
            if count(text) <= budget:
                return text
        return _cut(self._text(min(1, len(self.items))), budget, count)

    def _text(self, kept: int) -> str:
        text = self.head + self.joint.join(self.items[:kept])
        rest = len(self.items) - kept
        return f"{text}{_end(self.joint)}{rest} left out" if rest else text


def _end(joint: str) -> str:
    return joint if joint.strip() or "\n" in joint else "; "


def _cut(text: str, budget: int, count: TokenCounter) -> str:
    """The longest beginning that fits, "" if nothing does. `count` must not fall as text grows."""
    if count(text) <= budget:
        return text
    fitting = bisect_right(range(len(text) + 1), budget, key=lambda n: count(text[:n] + _CUT)) - 1
    return text[:fitting] + _CUT if fitting >= 0 else ""
