"""RLOO: the advantage of a completion is its reward minus the mean reward of the *others* in its
group.

*Rows*: as GRPO's. *Credit*: the group baseline leaves the turn itself out, whatever the recipe's
`credit.leave_one_out` says, which makes it independent of the turn and the gradient unbiased; with
G turns the advantage is G / (G - 1) times GRPO's. *Loss*: GRPO's clipped surrogate, which at a
ratio of one has the gradient of REINFORCE, -A grad log pi.

References
----------
Ahmadian et al. 2024, "Back to Basics: Revisiting REINFORCE-Style Optimization for Learning from
Human Feedback in LLMs"; Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!".
"""

from __future__ import annotations

from typing import Literal

from marl_llm.algorithms.grpo import Surrogate
from marl_llm.credit import CreditConfig


class RLOO(Surrogate, frozen=True):
    """REINFORCE with a leave-one-out baseline."""

    algorithm: Literal["rloo"] = "rloo"

    def credit(self, config: CreditConfig) -> CreditConfig:
        """The baseline leaves the turn itself out."""
        return config.model_copy(update={"leave_one_out": True})
