"""The recipe's `rewards` section: the weights of all components. Its bases are the registry, one
line each.

A penalty is a positive number, in units of skill score.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from marl_llm.rewards.compliance import Compliance
from marl_llm.rewards.component import Component
from marl_llm.rewards.cpu_cost import CpuCost
from marl_llm.rewards.extra import Weight, load_component
from marl_llm.rewards.failure import RUNGS, Failure
from marl_llm.rewards.invalid import Invalid
from marl_llm.rewards.metric_delta import MetricDelta
from marl_llm.rewards.no_gain import NoGain
from marl_llm.rewards.outcome import Outcome
from marl_llm.rewards.redundant import Redundant
from marl_llm.rewards.refusal import Refusal
from marl_llm.rewards.token_cost import TokenCost


class RewardConfig(
    MetricDelta,
    NoGain,
    Compliance,
    Failure,
    Invalid,
    Redundant,
    TokenCost,
    CpuCost,
    Refusal,
):
    """Weights of the reward components. Called with an outcome it is the reward: the sum of all
    components.
    """

    name: ClassVar[str] = "reward"
    extra: dict[str, dict[str, Weight]] = Field(
        default={}, description="components of your own: {module:Class: {weight: value}}"
    )

    def components(self) -> tuple[Component, ...]:
        """Every component with its weights, the user's own last.

        Raises
        ------
        UserError
            One of `extra` cannot be imported, or two components have one name.
        """
        weights: dict[str, object] = dict(self)
        built_in = [
            kind.model_validate({key: weights[key] for key in kind.model_fields})
            for kind in RewardConfig.__bases__
            if issubclass(kind, Component)  # all are: told to the type checker
        ]
        return (*built_in, *(load_component(path, own) for path, own in self.extra.items()))

    def by_component(self, outcome: Outcome) -> dict[str, float]:
        """What each component gives for a model call, by its name."""
        return {component.name: component(outcome) for component in self.components()}

    def __call__(self, outcome: Outcome) -> float:  # noqa: D102
        return sum(self.by_component(outcome).values())

    @model_validator(mode="after")
    def _failing_is_worst(self) -> RewardConfig:
        if self.failure_penalty - RUNGS * self.rung_bonus < self.compliance_penalty:
            raise ValueError(
                "failure_penalty minus four times rung_bonus must be at least compliance_penalty, "
                "or failing pays more than doing something else than asked"
            )
        return self
