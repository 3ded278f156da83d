"""Progress of collecting: episodes, evaluations/s, tokens/s, mean gain and time left, one line each time an
episode ends.
"""

from __future__ import annotations

import logging
import time

from marl_llm.rollout.summary import EpisodeSummary

logger = logging.getLogger(__name__)


def minutes(seconds: float) -> str:
    """Seconds as "1:05" (minutes:seconds)."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Counts finished episodes and logs a line for each; time left is estimated from those of this session."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._total = self._resumed = 0
        self._summaries: list[EpisodeSummary] = []
        self._began = time.monotonic()

    def start(self, total: int, done: int) -> None:
        """Begin; `done` episodes of `total` were finished before."""
        self._total, self._resumed, self._began = total, done, time.monotonic()
        kept = f", {done} of them kept from before" if done else ""
        logger.info("%s: %d episodes%s", self._what, total, kept)

    def episode(self, summary: EpisodeSummary) -> None:
        """Note a finished episode."""
        self._summaries.append(summary)
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
            f"mean gain {gain:+.3f}, {minutes(left)} left"
        )

    def stop(self) -> None:
        """End; nothing is left running."""
