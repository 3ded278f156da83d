"""The penalty of code that runs and does something else than asked."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from marl_llm.core.roles import ML_ENGINEER
from marl_llm.rewards.component import Component
from marl_llm.rewards.outcome import Outcome


class Compliance(Component):
    """Engineer: loses in proportion to what was asked for and not done, or done unasked."""

    name: ClassVar[str] = "compliance"
    compliance_penalty: float = Field(
        default=0.1, ge=0, description="code that does none of what was asked"
    )

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        if outcome.role != ML_ENGINEER or outcome.compliance is None:
            return 0.0
        return -self.compliance_penalty * (1 - outcome.compliance)
