"""How collecting asks whether an episode is to be played here, where several machines collect."""

from __future__ import annotations

from typing import Protocol

from marl_llm.rollout.summary import EpisodeSummary


class Sharing(Protocol):
    """One machine's share of the episodes. Both methods may block; they are called in threads."""

    def take(self, episode: str) -> bool:
        """Tell whether to play the episode; False if another machine does."""
        ...

    def finished(self, summary: EpisodeSummary) -> None:
        """Hand on an episode whose rows are written."""
        ...
