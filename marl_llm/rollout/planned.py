"""What an episode to be played is, and what comes of it: plain values that can be sent to another
machine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from marl_llm.agents.style import PromptStyle
from marl_llm.environment import EnvironmentConfig
from marl_llm.environment.experience import NOTHING, DataSet, Experience
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import Team
from marl_llm.rollout.journal import Journal
from marl_llm.rollout.summary import EpisodeSummary
from marl_llm.tasks import Task
from marl_llm.trajectories import Row


@dataclass(frozen=True)
class PlannedEpisode:
    """An episode to play: its name, unique in the directory, and how to load its task."""

    name: str
    load: Callable[[], Task]


@dataclass(frozen=True)
class CollectSettings:
    """The sections of the recipe that collecting needs, and the run's names.

    `seen` is what the agents may be told of other data sets; `remember` the store that the episodes
    fill, None for none (evaluation).
    """

    run: str
    iteration: int
    seed: int
    environment: EnvironmentConfig
    style: PromptStyle
    rollout: RolloutConfig
    seen: Experience = NOTHING
    remember: Path | None = None


@dataclass(frozen=True)
class PlayedEpisode:
    """What is kept of an episode: its line, its rows, and what it found out about the data set
    (None where nothing remembers).
    """

    summary: EpisodeSummary
    rows: list[Row]
    known: DataSet | None


OpensTeam = Callable[[], AbstractAsyncContextManager[Team]]
"""Opens the pair that plays, for one event loop."""


class Executor(Protocol):
    """Where episodes are played."""

    async def play(
        self, plan: PlannedEpisode, settings: CollectSettings, journal: Journal
    ) -> PlayedEpisode:
        """Play one episode; several may be under way at once.

        Raises
        ------
        UserError
            The task cannot be loaded or played.
        """
        ...

    def close(self) -> None:
        """Begin nothing more; what is still running is not waited for."""
        ...
