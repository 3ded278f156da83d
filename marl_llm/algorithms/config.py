"""The recipe's `training` section: the algorithm of each role, and whose turn it is."""

from __future__ import annotations

from pydantic import Field

from marl_llm.algorithms.base import Algorithm
from marl_llm.algorithms.registry import AnyAlgorithm, default_algorithm
from marl_llm.algorithms.schedule import Schedule
from marl_llm.core.roles import ML_ENGINEER
from marl_llm.core.section import Section


class TrainingSection(Section):
    """One algorithm per role, who trains when, and whether both train at once."""

    schedule: Schedule = Field(
        default="both",
        description="who trains: both roles in every iteration; alternate, the Data Scientist "
        "first; or data_scientist_first, alone against a frozen Engineer and then alternating",
    )
    alone: int = Field(
        default=2, ge=1, description="data_scientist_first: iterations before the Engineer's turn"
    )
    at_once: int = Field(
        default=1,
        ge=1,
        le=2,
        description="roles trained at the same time: 2 on a CPU, 1 on one GPU",
    )
    data_scientist: AnyAlgorithm = Field(
        default_factory=default_algorithm, description="the Data Scientist's algorithm and its keys"
    )
    ml_engineer: AnyAlgorithm = Field(
        default_factory=default_algorithm, description="the ML Engineer's algorithm and its keys"
    )

    def of(self, role: str) -> Algorithm:
        """A role's algorithm; of an adapter that both share, either's."""
        return self.ml_engineer if role == ML_ENGINEER else self.data_scientist
