"""The weights of the rewards; part of the recipe. All penalties are positive numbers, in units of skill score."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RewardConfig(BaseModel):
    """Weights of the reward components."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    credit: Literal["step", "reference"] = Field(
        default="reference",
        description="the Data Scientist earns the gain of the step, or of the reference implementation",
    )
    gain_weight: float = Field(default=1.0, ge=0, description="reward for one unit of skill gained")
    no_gain_penalty: float = Field(
        default=0.02, ge=0, description="a suggestion that, done right, brings no significant gain"
    )
    invalid_penalty: float = Field(default=0.1, ge=0, description="an action that cannot be read or carried out")
    redundant_penalty: float = Field(default=0.05, ge=0, description="a suggestion that memory already answers")
    compliance_penalty: float = Field(default=0.1, ge=0, description="code that does none of what was asked")
    failure_penalty: float = Field(default=0.15, ge=0, description="code that does not even parse")
    rung_bonus: float = Field(default=0.005, ge=0, description="taken off the failure penalty for each rung reached")
    prompt_token_price: float = Field(default=2e-6, ge=0, description="cost of one prompt token")
    completion_token_price: float = Field(default=1e-4, ge=0, description="cost of one sampled token")
    cpu_second_price: float = Field(
        default=2e-4, ge=0, description="cost of one second of processor time of an analysis"
    )

    @model_validator(mode="after")
    def _failing_is_worst(self) -> RewardConfig:
        if self.failure_penalty - 4 * self.rung_bonus < self.compliance_penalty:
            raise ValueError(
                "failure_penalty minus four times rung_bonus must be at least compliance_penalty, or failing pays more "
                "than doing something else than asked"
            )
        return self
