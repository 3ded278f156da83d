"""What a call's tokens cost."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from marl_llm.rewards.component import Component
from marl_llm.rewards.outcome import Outcome


class TokenCost(Component):
    """Both roles: prompt and completion tokens of this call, priced apart."""

    name: ClassVar[str] = "token_cost"
    per_call: ClassVar[bool] = True
    prompt_token_price: float = Field(default=2e-6, ge=0, description="cost of one prompt token")
    completion_token_price: float = Field(
        default=1e-4, ge=0, description="cost of one sampled token"
    )

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        prompt = self.prompt_token_price * outcome.prompt_tokens
        return -(prompt + self.completion_token_price * outcome.completion_tokens)
