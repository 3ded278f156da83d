"""The penalty of code that fails, softened by how far it came."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from marl_llm.core.roles import ML_ENGINEER
from marl_llm.rewards.component import Component
from marl_llm.rewards.outcome import Outcome

RUNGS = 4
"""Parsed, built, fitted, predicted."""


class Failure(Component):
    """Engineer: its code failed; not where the reference implementation fails as well."""

    name: ClassVar[str] = "failure"
    failure_penalty: float = Field(default=0.15, ge=0, description="code that does not even parse")
    rung_bonus: float = Field(
        default=0.005, ge=0, description="taken off the failure penalty for each rung reached"
    )

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        if outcome.role != ML_ENGINEER or outcome.compliance is not None:
            return 0.0
        softened = self.failure_penalty - self.rung_bonus * min(outcome.rungs, RUNGS)
        return -max(0.0, softened)
