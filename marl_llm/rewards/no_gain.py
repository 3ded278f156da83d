"""The penalty of a suggestion that was measured and gains nothing."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.rewards.metric_delta import SuggestionGain
from marl_llm.rewards.outcome import Outcome


class NoGain(SuggestionGain):
    """Data Scientist: a suggestion without a significant gain, though it was done right. To finish
    risks nothing.
    """

    name: ClassVar[str] = "no_gain"
    no_gain_penalty: float = Field(
        default=0.02, ge=0, description="a suggestion that, done right, brings no significant gain"
    )

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        if outcome.role != DATA_SCIENTIST or not outcome.suggests:
            return 0.0
        gain = self.gain_of_suggestion(outcome)
        return -self.no_gain_penalty if gain is not None and gain <= 0 else 0.0
