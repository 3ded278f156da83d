"""Which episodes are to be played, before any of them is: names, and how each makes its task."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.tasks.procedural import procedural_task


def procedural_plans(seeds: Sequence[int]) -> list[PlannedEpisode]:
    """One episode on the procedural task of each seed."""
    return [PlannedEpisode(f"p{seed}", functools.partial(procedural_task, seed)) for seed in seeds]
