"""The arms that play under a budget, by name: which team, if any, and how much time. Nothing is
played here.
"""

from __future__ import annotations

from dataclasses import dataclass

from marl_llm.proposals.screened import SIX
from marl_llm.rollout.budget import Budget
from marl_llm.rollout.playing import DEFAULT_PATIENCE
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import TeamChoice, choose_team, run_team

SOLVE, NO_AGENTS, SIX_DEFAULTS = "solve", "no_agents", "six_defaults"
OF_THE_RUN = "run"
PLAY_VERSION = 4
"""Of how a play goes and what it delivers: results of another one are not kept."""
DEFAULT_BUDGET = Budget(60.0)
BUDGETED = (
    SOLVE,
    "solve@untrained",
    "solve@scripted",
    f"solve@{OF_THE_RUN}",
    NO_AGENTS,
    SIX_DEFAULTS,
)


@dataclass(frozen=True)
class Plan:
    """How such an arm plays: its name, the budget, and the team, None without agents."""

    name: str
    budget: Budget
    team: TeamChoice | None

    @classmethod
    def of(cls, name: str, budget: Budget, run: RunDirectory) -> Plan:
        """The plan of an arm by name. Raises UserError where its team is missing."""
        if name in (NO_AGENTS, SIX_DEFAULTS):
            return cls(name, budget, None)
        team = name.partition("@")[2] or None
        return cls(name, budget, run_team(run) if team == OF_THE_RUN else choose_team(team))

    @property
    def what(self) -> str:
        """The arm in words."""
        if self.name == SIX_DEFAULTS:
            return f"a blend of {SIX} defaults, no agents"
        who = f"team {self.team.name}" if self.team else "no agents"
        return f"screen, improve, blend: {who}, {self.budget}"

    @property
    def depends_on(self) -> list[object]:
        """What results depend on besides the data and the seed."""
        team = self.team.depends_on if self.team else [None, [], [], []]
        return [PLAY_VERSION, DEFAULT_PATIENCE, self.name, str(self.budget), *team]
