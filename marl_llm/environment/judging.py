"""What a suggestion, and one implementation of it, came to: a verdict, compliance, comparisons.

In: a state, a suggestion, an implementation that was run. Out: a `StepOutcome`. Nothing is decided
here about the episode, and nothing is rewarded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from marl_llm.core.verdict import Verdict
from marl_llm.environment.cache.keys import same_code
from marl_llm.environment.compliance import Case, compliance, says_the_same
from marl_llm.environment.evaluator import Evaluated, Evaluator
from marl_llm.environment.state import Implementation, State, StepOutcome, Suggestion
from marl_llm.metrics import Comparison
from marl_llm.proposals import PipelineSpec, generate_code


class Results(Protocol):
    """Where results come from: `TeamEnv`."""

    evaluator: Evaluator

    def evaluate(self, spec: PipelineSpec, against: Evaluated | None = None) -> Evaluated:
        """A solution's result, of a blend that of its members."""
        ...

    def reference(self, spec: PipelineSpec, against: Evaluated | None = None) -> Evaluated:
        """The result of the reference implementation."""
        ...

    def compare(self, before: Evaluated, after: Evaluated) -> Comparison | None:
        """Paired test of `after` against `before`; None unless both ran."""
        ...


def judge(
    env: Results, state: State, suggestion: Suggestion, implementation: Implementation | None = None
) -> StepOutcome:
    """What one suggestion, and one implementation of it, came to. Blocks while the reference
    runs.
    """
    if not suggestion.valid:
        return StepOutcome(suggestion, None, None, Verdict.invalid)
    if suggestion.ends:
        return _judge_end(env, state, suggestion, implementation)
    if not suggestion.to_implement or suggestion.spec is None:
        return StepOutcome(suggestion, None, None, Verdict.redundant)
    reference = env.reference(suggestion.spec, state.evaluated)
    outcome = StepOutcome(
        suggestion,
        implementation,
        reference,
        Verdict.failed,
        credited=state.credited,
        reference_comparison=env.compare(state.evaluated, reference),
    )
    if implementation is None:
        return outcome
    if not reference.ok and says_the_same(implementation.code, suggestion.spec):
        return replace(
            outcome, verdict=Verdict.no_gain, compliance=1.0
        )  # what was asked for cannot run
    if not implementation.evaluated.ok:
        return outcome
    return _judge_result(env, state, outcome, implementation)


def _judge_end(
    env: Results, state: State, suggestion: Suggestion, implementation: Implementation | None
) -> StepOutcome:
    """A `finish`: what is delivered may be a gain, and is no failure where it is none."""
    if suggestion.spec is None:
        return StepOutcome(suggestion, None, None, Verdict.finished)
    reference = env.evaluate(suggestion.spec)
    compared = env.compare(state.evaluated, reference)
    outcome = StepOutcome(
        suggestion,
        implementation,
        reference,
        Verdict.finished,
        reference_comparison=compared,
        credited=state.credited,
    )
    if implementation is None:
        return outcome
    if same_code(implementation.code, generate_code(suggestion.spec)):
        return replace(outcome, compliance=1.0, comparison=compared)
    if not implementation.evaluated.ok:
        return replace(outcome, verdict=Verdict.failed)
    share = _compliance(env, state, suggestion.spec, implementation, reference)
    comparison = env.compare(state.evaluated, implementation.evaluated)
    verdict = Verdict.finished if share == 1 else Verdict.not_as_asked
    return replace(outcome, verdict=verdict, compliance=share, comparison=comparison)


def _compliance(
    env: Results,
    state: State,
    spec: PipelineSpec,
    implementation: Implementation,
    reference: Evaluated,
) -> float:
    return compliance(
        Case(
            implementation.code,
            implementation.evaluated,
            reference,
            state.evaluated,
            state.spec,
            spec,
            lambda: env.evaluator.agree_elsewhere(implementation.code, generate_code(spec)),
        )
    )


def _judge_result(
    env: Results, state: State, outcome: StepOutcome, implementation: Implementation
) -> StepOutcome:
    result, reference, spec = (
        implementation.evaluated,
        outcome.reference,
        outcome.suggestion.spec,
    )
    assert reference is not None and spec is not None
    comparison = env.compare(state.evaluated, result)
    if comparison is not None and comparison.significant:
        reference = env.reference(spec)  # with all its folds: it may become the current model
    share = _compliance(env, state, spec, implementation, reference)
    if share < 1:
        verdict = Verdict.not_as_asked
    else:
        verdict = (
            Verdict.accepted
            if comparison is not None and comparison.significant
            else Verdict.no_gain
        )
    return replace(
        outcome, verdict=verdict, compliance=share, comparison=comparison, reference=reference
    )
