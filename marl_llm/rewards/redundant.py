"""The penalty of a suggestion that memory already answers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.core.verdict import Verdict
from marl_llm.rewards.component import Component
from marl_llm.rewards.outcome import Outcome


class Redundant(Component):
    """Data Scientist: the suggestion changes nothing, or was answered before."""

    name: ClassVar[str] = "redundant"
    redundant_penalty: float = Field(
        default=0.05, ge=0, description="a suggestion that memory already answers"
    )

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        repeated = outcome.role == DATA_SCIENTIST and outcome.verdict == Verdict.redundant
        return -self.redundant_penalty if repeated else 0.0
