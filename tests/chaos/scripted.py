"""A command that plays scripted episodes into a directory: `python -m tests.chaos.scripted
DIRECTORY`. What the small test disturbs.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path

from marl_llm.core.kind import Kind
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors.machines import open_machines
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.sandbox.config import SandboxSection
from marl_llm.workspace.open_run import play_scripted
from tests.fixtures import small_task
from tests.rollout.test_collect import SETTINGS

PLANS = [
    PlannedEpisode(f"e{i}", functools.partial(small_task, kind, 120))
    for i, kind in enumerate([Kind.regression, Kind.binary])
]


def main(directory: Path) -> None:
    """Play what is not finished yet, one after the other."""
    one = SETTINGS.rollout.model_copy(update={"episodes_at_once": 1})
    team = Team(ScriptedPolicy(), ScriptedPolicy(0.4))
    with open_machines(one, SandboxSection(slots=1)) as machines:
        play_scripted(machines, team, directory, PLANS, replace(SETTINGS, rollout=one), "chaos")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
