"""What a turn gained. Only a significant gain of a change that was done as asked counts, so no role
can earn by luck, and failing is never better than carrying out a bad suggestion.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.core.verdict import Verdict
from marl_llm.rewards.component import Component
from marl_llm.rewards.outcome import Outcome


class SuggestionGain(Component):
    """Which gain is the Data Scientist's."""

    credit: Literal["step", "reference"] = Field(
        default="reference",
        description="the Data Scientist earns the gain of the step, or of the reference "
        "implementation",
    )

    def gain_of_suggestion(self, outcome: Outcome) -> float | None:
        """Skill gained by a suggestion, None if nothing was measured that says something about
        it.
        """
        by_reference = self.credit == "reference"
        return outcome.new_reference_gain if by_reference else outcome.step_gain


class MetricDelta(SuggestionGain):
    """Data Scientist: gain of the suggestion, or of the blend it finished with. Engineer: of the
    step.
    """

    name: ClassVar[str] = "metric_delta"
    gain_weight: float = Field(default=1.0, ge=0, description="reward for one unit of skill gained")

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        return self.gain_weight * max(0.0, self._gain(outcome) or 0.0)

    def _gain(self, outcome: Outcome) -> float | None:
        if outcome.role != DATA_SCIENTIST:
            return outcome.step_gain
        earns = outcome.suggests or outcome.verdict == Verdict.finished
        return self.gain_of_suggestion(outcome) if earns else None
