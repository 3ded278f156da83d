"""How far a long comparison is: one logged line for each finished trial, with the time left by
those so far.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from marl_llm.rollout.progress import minutes

logger = logging.getLogger(__name__)


class Countdown:
    """Counts trials; thread-safe.

    Parameters
    ----------
    what : str
        Whose trials, e.g. the arm.
    total, kept : int
        Trials in all, and those of them that were finished before: these say nothing of the time
        left.
    now : callable
        Seconds.
    """

    def __init__(
        self, what: str, total: int, kept: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._total, self._kept, self._now = what, total, kept, now
        self._done, self._began, self._lock = 0, now(), threading.Lock()

    def trial(self) -> None:
        """Note a finished trial."""
        with self._lock:
            self._done += 1
            logger.info("%s", self.line())

    def line(self) -> str:
        """The line that is logged now."""
        done = self._kept + self._done
        left = (self._total - done) * (self._now() - self._began) / max(1, self._done)
        return f"{self._what}: {done}/{self._total} trials, {minutes(left)} left"
