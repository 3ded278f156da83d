"""What an analysis costs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from marl_llm.rewards.component import Component
from marl_llm.rewards.outcome import Outcome


class CpuCost(Component):
    """Data Scientist: processor time of the analysis that this call asked for."""

    name: ClassVar[str] = "cpu_cost"
    per_call: ClassVar[bool] = True
    cpu_second_price: float = Field(
        default=2e-4, ge=0, description="cost of one second of processor time of an analysis"
    )

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        return -self.cpu_second_price * outcome.analysis_cpu_s
