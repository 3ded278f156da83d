"""From the judged outcome of a step to the reward components of both agents, with one implementation of a proposal or
several.
"""

from __future__ import annotations

from collections.abc import Sequence

from marl_llm.environment import StepOutcome
from marl_llm.proposals import Finish
from marl_llm.rewards import RewardComponents, RewardConfig, data_scientist_reward, engineer_reward
from marl_llm.sandbox import Stage

RUNGS = {Stage.none: 0, Stage.parsed: 1, Stage.built: 2, Stage.fitted: 3, Stage.predicted: 4}


def data_scientist_components(config: RewardConfig, outcomes: Sequence[StepOutcome]) -> RewardComponents:
    """The Data Scientist's for one suggestion; `outcomes` holds one entry an implementation, or one if there is none.

    Under `credit: step` it earns the mean gain of the implementations that did what it asked; under `credit: reference`
    that of the reference, as far as it exceeds what was credited over the current solution before.
    """
    suggestion = outcomes[0].suggestion
    done = [outcome for outcome in outcomes if outcome.compliance == 1]
    return data_scientist_reward(
        config,
        proposed=not isinstance(suggestion.action, Finish),
        valid=suggestion.valid,
        redundant=suggestion.valid and suggestion.spec is not None and suggestion.redundant,
        implemented=bool(done),
        step_gain=sum(outcome.step_gain for outcome in done) / len(done) if done else None,
        reference_gain=outcomes[0].new_reference_gain,
    )


def engineer_components(config: RewardConfig, outcome: StepOutcome) -> RewardComponents:
    """The Engineer's for one implementation; failing is not its fault where the reference fails as well."""
    assert outcome.implementation is not None
    result = outcome.implementation.evaluated
    return engineer_reward(
        config,
        rungs=RUNGS[result.stage],
        ran=result.ok or outcome.compliance == 1,
        compliance=outcome.compliance or 0.0,
        step_gain=outcome.step_gain,
    )
