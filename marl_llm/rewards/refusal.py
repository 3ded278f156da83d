"""The penalty of a call that was refused and corrected afterwards.

The turn earns what its last action comes to, and all its calls share that. If that were all, an
unreadable first reply would cost nothing but tokens, and would be learned along with what its
correction gained. So the refused call pays for itself what an invalid action costs: the same action
is worth more said right at once than after a correction, and no correction is worth less than a
second invalid action.
"""

from __future__ import annotations

from typing import ClassVar

from marl_llm.rewards.invalid import InvalidPenalty
from marl_llm.rewards.outcome import Outcome


class Refusal(InvalidPenalty):
    """Data Scientist: this call was refused, and asked for again."""

    name: ClassVar[str] = "refusal"
    per_call: ClassVar[bool] = True

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        return -self.invalid_penalty if outcome.refused else 0.0
