"""The penalty of a turn that ends with an action which cannot be read or carried out."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.core.verdict import Verdict
from marl_llm.rewards.component import Component
from marl_llm.rewards.outcome import Outcome


class InvalidPenalty(Component):
    """The price of an invalid action, whether it was corrected or not."""

    invalid_penalty: float = Field(
        default=0.1, ge=0, description="an action that cannot be read or carried out"
    )


class Invalid(InvalidPenalty):
    """Data Scientist: the turn's last action is invalid."""

    name: ClassVar[str] = "invalid"

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        spoilt = outcome.role == DATA_SCIENTIST and outcome.verdict == Verdict.invalid
        return -self.invalid_penalty if spoilt else 0.0
