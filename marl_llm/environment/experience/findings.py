"""From the steps of an episode to what is worth knowing on another data set.

In: the suggestions an episode visited, on its line and beside it, with what the reference
implementation of each came to. Out: findings. What cannot be carried over is left out: ensembles of
memory lines, dropped columns.
"""

from __future__ import annotations

from collections.abc import Iterable

from marl_llm.environment.delivery import Tried
from marl_llm.environment.evaluated import Evaluated
from marl_llm.environment.experience.data_set import Finding, best_findings
from marl_llm.environment.state import State, StepOutcome
from marl_llm.proposals import PipelineSpec, Tune, canonical
from marl_llm.proposals.applying import SPECIAL
from marl_llm.proposals.ops import FEATURES, OPERATIONS
from marl_llm.proposals.ops.preparation import Removal, Undo
from marl_llm.proposals.text import call

LEAST_GAIN = 0.005
"""Skill; smaller gains would be shown as 0."""
Visit = tuple[State, StepOutcome]
"""A state, and what one suggestion at it came to."""
_FEATURES = "engineer_features "


def findings(
    first: State, visits: Iterable[Visit], families: Iterable[Tried] = ()
) -> tuple[Finding, ...]:
    """The best findings of an episode on a task whose baseline is `first`, and of the families it
    began with.
    """
    found = [_finding(first, state, outcome) for state, outcome in visits]
    found += [
        _model_finding(first, one.spec, one.evaluated)
        for one in families
        if one.spec.encode == "ordinal"
    ]
    return best_findings(f for f in found if f is not None)


def _finding(first: State, state: State, outcome: StepOutcome) -> Finding | None:
    spec, result = outcome.suggestion.spec, outcome.reference
    if spec is None or spec.members or result is None or result.holdout is None:
        return None
    if (spec.estimator, spec.params) != (state.spec.estimator, state.spec.params):
        return _model_finding(first, spec, result)
    compared = outcome.reference_comparison
    if compared is None or not compared.significant:
        return None
    return _supported(_change_text(outcome), state.evaluated, result)


def _model_finding(first: State, spec: PipelineSpec, result: Evaluated) -> Finding | None:
    return _supported(model_text(spec), first.evaluated, result)


def _supported(text: str, before: Evaluated, after: Evaluated) -> Finding | None:
    gain = supported_gain(before, after)
    if not text or gain is None or gain < LEAST_GAIN or after.holdout is None:
        return None
    return Finding(text=text, gain=round(gain, 4), score=round(after.holdout.score, 4))


def model_text(spec: PipelineSpec) -> str:
    """The proposal of a solution's model, without parameters at their default."""
    plain = spec.normal()
    return f"propose_model est = {call(plain.estimator, plain.params)}"


def supported_gain(before: Evaluated, after: Evaluated) -> float | None:
    """Skill gained on the hold-out, or its mean with that of the cross-validation where all folds
    were run; None if either says there is none.
    """
    if before.holdout is None or after.holdout is None:
        return None
    gains = [after.holdout.score - before.holdout.score]
    if before.complete and after.complete and before.cv is not None and after.cv is not None:
        gains.append(after.cv.score - before.cv.score)
    return sum(gains) / len(gains) if min(gains) > 0 else None


def _change_text(outcome: StepOutcome) -> str:
    """A change of features, or of what surrounds the model, without columns; "" if it is of these
    data alone.
    """
    action = outcome.suggestion.action
    if isinstance(action, Tune):
        return canonical(action) if set(action.params) <= set(SPECIAL) else ""
    text = outcome.suggestion.text
    if not text.startswith(_FEATURES):
        return ""
    ops = [_op_text(op) for op in text.removeprefix(_FEATURES).split("; ")]
    return _FEATURES + "; ".join(ops) if all(ops) else ""


def _op_text(op: str) -> str:
    word = op.split(" ", 1)[0]
    if isinstance(OPERATIONS.get(word), Removal | Undo):
        return ""  # it leaves out or undoes something of this data set
    return word if word in FEATURES else op
