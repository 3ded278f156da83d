"""Progress of collecting: episodes, evaluations/s, tokens/s, prefix-cache hits, mean gain and time
left, one line each time an episode ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from marl_llm.rollout.summary import EpisodeSummary
from marl_llm.serving.counters import Counters

logger = logging.getLogger(__name__)


def minutes(seconds: float) -> str:
    """Seconds as "1:05" (minutes:seconds)."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Counts finished episodes and logs a line for each; time left is estimated from those of this
    session.

    Parameters
    ----------
    what : str
        What the lines are about.
    counters : callable, optional
        Reads what the model server has done so far, for the share of prompt tokens found in its
        prefix cache.
    """

    def __init__(
        self, what: str, counters: Callable[[], Awaitable[Counters | None]] | None = None
    ) -> None:
        self._what, self._counters = what, counters
        self._first: Counters | None = None
        self._now: Counters | None = None
        self._total = self._resumed = 0
        self._summaries: list[EpisodeSummary] = []
        self._began = time.monotonic()

    async def start(self, total: int, done: int) -> None:
        """Begin; `done` episodes of `total` were finished before."""
        self._total, self._resumed, self._began = total, done, time.monotonic()
        kept = f", {done} of them kept from before" if done else ""
        logger.info("%s: %d episodes%s", self._what, total, kept)
        self._first = await self._counters() if self._counters else None

    async def episode(self, summary: EpisodeSummary) -> None:
        """Note a finished episode."""
        self._summaries.append(summary)
        self._now = await self._counters() if self._counters else None
        logger.info("%s", self.line())

    def line(self) -> str:
        """The line that is logged now."""
        here = len(self._summaries)
        seconds = max(1e-9, time.monotonic() - self._began)
        left = (self._total - self._resumed - here) * seconds / max(1, here)
        gain = sum(s.gain for s in self._summaries) / max(1, here)
        return (
            f"{self._what}: {self._resumed + here}/{self._total} episodes, "
            f"{sum(s.evaluations for s in self._summaries) / seconds:.1f} evaluations/s, "
            f"{sum(s.tokens for s in self._summaries) / seconds:.0f} tokens/s, "
            f"{self._cached()}{self._repeated()}mean gain {gain:+.3f}, {minutes(left)} left"
        )

    def _cached(self) -> str:
        """The prefix-cache hits since the beginning, "" where the server does not say or nothing
        was looked up.
        """
        if (
            self._first is None
            or self._now is None
            or self._now.cache_queries <= self._first.cache_queries
        ):
            return ""
        hits = self._now.cache_hits - self._first.cache_hits
        return (
            f"{hits / (self._now.cache_queries - self._first.cache_queries):.0%} of prompt "
            "tokens cached, "
        )

    def _repeated(self) -> str:
        """Requests that the server made us send again, "" if there are none."""
        repeated = sum(s.repeated for s in self._summaries)
        return f"{repeated} requests sent again, " if repeated else ""

    def stop(self) -> None:
        """End; nothing is left running."""
