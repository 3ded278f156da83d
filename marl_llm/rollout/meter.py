"""CPU seconds of episodes that are played at the same time in one process.

Fits in the sandbox are measured one by one; what this process and the model server spend belongs to
all episodes under way at that moment and is divided equally among them. Pure but for the clock it
is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Share:
    """What one episode has been charged so far, CPU seconds."""

    cpu_s: float


class Meter:
    """Divides the seconds of a clock among the episodes under way. Used by one thread, that of the
    event loop.

    Parameters
    ----------
    clock : callable
        CPU seconds used so far by what the episodes share; may fall when a process ends, which
        counts as nothing.
    startup_s : float
        Charged to every episode as a whole: the server's start, which each would pay if it were
        played alone.
    """

    def __init__(
        self, clock: Callable[[], float] = time.process_time, startup_s: float = 0.0
    ) -> None:
        self._clock, self._startup_s = clock, startup_s
        self._under_way: list[Share] = []
        self._read = self._settled = 0.0

    @contextmanager
    def episode(self) -> Iterator[Share]:
        """Charge an episode from here to the end of the block."""
        self.settle()
        share = Share(self._startup_s)
        self._under_way.append(share)
        try:
            yield share
        finally:
            self.settle()
            self._under_way = [one for one in self._under_way if one is not share]

    def settle(self, every_s: float = 0.0) -> None:
        """Bring the shares of the episodes under way up to date, unless it was done in the last
        `every_s` seconds.
        """
        if every_s and time.monotonic() - self._settled < every_s:
            return
        self._settled = time.monotonic()
        now = self._clock()
        for share in self._under_way:
            share.cpu_s += max(0.0, now - self._read) / len(self._under_way)
        self._read = now
