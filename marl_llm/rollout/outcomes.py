"""From the judged outcome of a step to the facts that rewards are computed from, for both agents,
with one implementation of a proposal or several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.core.verdict import Verdict
from marl_llm.environment import StepOutcome
from marl_llm.rewards import Outcome
from marl_llm.sandbox import Stage

RUNGS = {Stage.none: 0, Stage.parsed: 1, Stage.built: 2, Stage.fitted: 3, Stage.predicted: 4}


def data_scientist_outcome(outcomes: Sequence[StepOutcome]) -> Outcome:
    """Facts about the Data Scientist's turn; `outcomes` holds one entry per implementation, or one
    if there is none.
    """
    first = outcomes[0]
    done = [outcome.step_gain for outcome in outcomes if outcome.compliance == 1]
    return Outcome(
        role=DATA_SCIENTIST,
        verdict=without_code(first).verdict,
        step_gain=sum(done) / len(done) if done else None,
        new_reference_gain=first.new_reference_gain,
    )


def engineer_outcome(outcome: StepOutcome) -> Outcome:
    """Facts about the Engineer's turn; code that fails where the reference fails as well is as
    asked.
    """
    assert outcome.implementation is not None
    return Outcome(
        role=ML_ENGINEER,
        verdict=outcome.verdict,
        compliance=outcome.compliance,
        step_gain=outcome.step_gain,
        rungs=RUNGS[outcome.implementation.evaluated.stage],
    )


def without_code(outcome: StepOutcome) -> StepOutcome:
    """The part of an outcome that is the Data Scientist's: the reference implementation's, not the
    Engineer's.
    """
    if outcome.reference is None:
        return outcome
    if outcome.suggestion.ends:
        verdict = Verdict.finished
    else:
        comparison = outcome.reference_comparison
        gained = comparison is not None and comparison.significant
        verdict = Verdict.accepted if gained else Verdict.no_gain
    return replace(outcome, implementation=None, compliance=None, comparison=None, verdict=verdict)
