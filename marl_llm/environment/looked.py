"""What a screening leaves in the state: the best family takes the place of the current solution,
and memory knows all that were evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from marl_llm.core.verdict import Verdict
from marl_llm.environment.delivery import Tried
from marl_llm.environment.evaluated import Evaluated
from marl_llm.environment.memory import MemoryEntry
from marl_llm.environment.state import State
from marl_llm.metrics import Comparison
from marl_llm.proposals import PipelineSpec, ProposeModel, canonical, generate_code

Compare = Callable[[Evaluated, Evaluated], Comparison | None]


def tellable(spec: PipelineSpec) -> bool:
    """True for a family that a proposal can name: not for one that is calibrated, which only a
    blend can use.
    """
    return spec.calibration is None


def settled(
    state: State,
    best: Tried,
    families: Sequence[Tried],
    compare: Compare,
    form: Callable[[PipelineSpec], PipelineSpec],
) -> State:
    """The state after a screening: it goes on from `best`, the families are in its memory, that one
    first.

    Gains are what they would be had `best` been proposed at `state` and the others at what follows.
    What memory already answers is not repeated; `form`: under which solutions are compared.
    """
    moved = form(best.spec) != form(state.spec)
    memory = state.memory
    for one in sorted(families, key=lambda one: form(one.spec) != form(best.spec)):
        if state.memory.tried(one.spec, form):
            continue
        if form(one.spec) != form(best.spec):
            memory = memory.add(
                _entry(one, Verdict.no_gain, compare(best.evaluated, one.evaluated))
            )
        elif moved:
            memory = memory.add(
                _entry(one, Verdict.accepted, compare(state.evaluated, one.evaluated))
            )
    after = replace(state, memory=memory, looked=True)
    if not moved:
        return after
    return replace(
        after, spec=best.spec, code=generate_code(best.spec), evaluated=best.evaluated, credited=0.0
    )


def _entry(one: Tried, verdict: Verdict, comparison: Comparison | None) -> MemoryEntry:
    spec, holdout = one.spec, one.evaluated.holdout
    text = canonical(ProposeModel(estimator=spec.estimator, params=dict(spec.params)))
    if spec.encode != "ordinal":
        text += f" with encode {spec.encode}"
    return MemoryEntry(
        text,
        verdict,
        None if comparison is None else comparison.gain,
        spec,
        score=None if holdout is None else holdout.score,
    )
