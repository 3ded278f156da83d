"""Budgets as people think: `60s`, `5m`, `90s cpu`; and the clock that says how much is left.

A budget covers the whole command, the final fits included; what these need is kept in reserve.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from marl_llm.core.errors import UserError

_UNITS = {"s": 1, "m": 60, "h": 3600}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*(cpu|wall)?\s*", re.IGNORECASE)
LEAST_S = 1.0
_FOLD_SHARE = 0.1
"""Share of the budget that one fit may take."""
_FOLD_S = (3.0, 20.0)


@dataclass(frozen=True)
class Budget:
    """Seconds of wall time, or of processor time of all processes together."""

    seconds: float
    of: Literal["wall", "cpu"] = "wall"

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `60s`, `5m`, `1h`, `90s cpu`.

        Raises
        ------
        UserError
            Another unit, no number, or less than a second.
        """
        match = _TEXT.fullmatch(text)
        unit = (match[2].lower() or "s") if match else ""
        if match is None or unit not in _UNITS:
            raise UserError(
                f"--budget {text!r}: write a number with s, m or h, e.g. 60s, 5m, or '90s cpu'."
            )
        seconds = float(match[1]) * _UNITS[unit]
        if seconds < LEAST_S:
            raise UserError(
                f"--budget {text!r} leaves no time for a single fit: give at least {LEAST_S:g}s."
            )
        return cls(seconds, "cpu" if (match[3] or "").lower() == "cpu" else "wall")

    def __str__(self) -> str:
        return f"{self.seconds:g} s of {'processor' if self.of == 'cpu' else 'wall'} time"

    @property
    def fold_s(self) -> float:
        """Longest fit and prediction of one fold, seconds, so that no candidate eats the budget."""
        low, high = _FOLD_S
        return min(high, max(low, _FOLD_SHARE * self.seconds))


@dataclass
class Clock:
    """Time since the command began.

    Attributes
    ----------
    budget : Budget
    began, cpu_began : float
        When it began, by `wall` and by `cpu`; default: now.
    fits_cpu_s : callable
        Processor time of the sandbox so far: its start, and all candidates. A model server's is not
        known.
    wall, cpu : callable
        Seconds of wall time, and of this process' processor time.
    """

    budget: Budget
    began: float = field(default_factory=time.monotonic)
    cpu_began: float = field(default_factory=time.process_time)
    fits_cpu_s: Callable[[], float] = lambda: 0.0
    wall: Callable[[], float] = time.monotonic
    cpu: Callable[[], float] = time.process_time

    @property
    def cpu_s(self) -> float:
        """Processor time so far: of this process and of the candidates."""
        return self.cpu() - self.cpu_began + self.fits_cpu_s()

    @property
    def wall_s(self) -> float:
        """Wall time so far."""
        return self.wall() - self.began

    def left(self, reserve: float = 0.0) -> float:
        """Seconds left of the budget when `reserve` is kept; negative when overdrawn."""
        return (
            self.budget.seconds - (self.cpu_s if self.budget.of == "cpu" else self.wall_s) - reserve
        )
