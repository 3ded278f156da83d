"""Undirected draws from everything that can be proposed: all installed estimators, every feature
operation, ensembles of earlier solutions, calibration, thresholds, regions.

The scripted Data Scientist of `solve` and `evaluate` draws here; the embedded model was taught the
core space of `scripted.py`. Draws are valid for the card and the solution, and look at no number of
the data.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from marl_llm.core.kind import Kind
from marl_llm.environment.card import ColumnCard, TaskCard
from marl_llm.proposals import (
    Action,
    AddFeatures,
    Analyze,
    Between,
    Drop,
    EngineerFeatures,
    Finish,
    KeepAll,
    PipelineSpec,
    ProposeModel,
    Tune,
)
from marl_llm.proposals.applying import CALIBRATIONS, THRESHOLDS, can_calibrate, can_vote
from marl_llm.proposals.estimators import ESTIMATORS, Param, estimators_for
from marl_llm.proposals.ops import CHOICES, FEATURES, REDUCERS
from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.feature import Takes
from marl_llm.proposals.ops.preparation import with_argument
from marl_llm.proposals.spec import ENSEMBLES

_QUERIES = (
    "distribution",
    "missing",
    "correlation",
    "information",
    "target",
    "outliers",
    "leakage",
    "errors",
    "confusion",
    "segments",
    "importance",
    "calibration",
    "models",
)
_WEIGHTS = {
    "propose_model": 0.36,
    "tune": 0.22,
    "engineer_features": 0.32,
    "analyze": 0.05,
    "finish": 0.05,
}
_ENSEMBLE_SHARE, _REGION_SHARE = 0.15, 0.2


def full_action(
    rng: random.Random,
    card: TaskCard,
    spec: PipelineSpec,
    kinds: tuple[str, ...] = (),
    solutions: Mapping[int, PipelineSpec] | None = None,
) -> Action:
    """Draw one valid action.

    Parameters
    ----------
    rng : random.Random
    card, spec
        The task's columns and the current solution.
    kinds : tuple of str
        Restrict the draw to these actions; empty for all.
    solutions : mapping of memory line to PipelineSpec, optional
        What an ensemble may be made of besides the current solution.
    """
    weights = {k: w for k, w in _WEIGHTS.items() if not kinds or k in kinds}
    kind = rng.choices(list(weights), list(weights.values()))[0]
    if kind == "finish":
        return Finish(deliver=rng.choice(("current", "best", "blend")))
    if kind == "analyze":
        return Analyze(query=rng.choice(_QUERIES))
    if spec.members or kind == "propose_model":
        return _model(rng, card, spec, solutions or {})
    return (
        _tune(rng, card, spec)
        if kind == "tune"
        else EngineerFeatures(ops=(_operation(rng, card, spec),))
    )


def _model(
    rng: random.Random, card: TaskCard, spec: PipelineSpec, solutions: Mapping[int, PipelineSpec]
) -> ProposeModel:
    single = [k for k, s in solutions.items() if not s.members and s.normal() != spec.normal()]
    if single and not spec.members and rng.random() < _ENSEMBLE_SHARE:
        other = rng.choice(single)
        voting = can_vote(spec) and can_vote(solutions[other])
        return ProposeModel(
            estimator=rng.choice(ENSEMBLES) if voting else "Stacking", members=(0, other)
        )
    fitting = [
        e for e in estimators_for(card.kind) if e.max_rows is None or card.rows <= e.max_rows
    ]
    lowest = card.lowest_target if card.lowest_target is not None else 1.0
    barred = {"GammaRegressor"} if lowest <= 0 else set()
    barred |= {"PoissonRegressor"} if lowest < 0 else set()
    info = rng.choice([e for e in fitting if e.name != spec.estimator and e.name not in barred])
    chosen = rng.sample(info.params, rng.randint(0, min(2, len(info.params))))
    return ProposeModel(estimator=info.name, params={p.name: rng.choice(p.grid) for p in chosen})


def _tune(rng: random.Random, card: TaskCard, spec: PipelineSpec) -> Tune:
    info = ESTIMATORS[spec.estimator]
    special: dict[str, tuple[str, ...]] = {}
    if card.kind.is_classification and can_calibrate(card.context()):
        special = {"calibration": CALIBRATIONS}
    special |= {"threshold": THRESHOLDS} if card.kind is Kind.binary else {}
    name = rng.choice([*(p.name for p in info.params), *special])
    if name in special:
        return Tune(params={name: rng.choice(special[name])})
    param = info.param(name)
    assert param is not None
    if param.low is not None and rng.random() < _REGION_SHARE:
        return Tune(params={name: _region(param)}, budget=rng.choice((4, 8)))
    return Tune(params={name: rng.choice(param.grid)})


def _region(param: Param) -> Between:
    numbers = [v for v in param.grid if isinstance(v, int | float)]
    return Between(low=float(min(numbers)), high=float(max(numbers)))


def _operation(rng: random.Random, card: TaskCard, spec: PipelineSpec) -> OperationAction:
    left = [c for c in card.columns if c.alias not in spec.drop]
    choices = [with_argument(reducer, rng.choice(reducer.grid)) for reducer in REDUCERS.values()]
    for choice in CHOICES:
        if any(c.kind in choice.kinds for c in left):
            choices += [with_argument(choice, rng.choice(choice.words))]
    if spec.reduce is not None:
        choices += [KeepAll()]
    if sum(c.kind != "text" for c in left) > 2:
        choices += [Drop(columns=(rng.choice([c.alias for c in left if c.kind != "text"]),))]
    for name, feature in FEATURES.items():
        columns = _columns(rng, feature.takes, left)
        choices += [AddFeatures(op=name, columns=columns)] if columns else []
    return rng.choice(choices)


def _columns(rng: random.Random, takes: Takes, left: Sequence[ColumnCard]) -> tuple[str, ...]:
    """Columns that fit an added feature; empty where there are too few."""
    first = [c.alias for c in left if c.kind in takes.allowed(0)]
    if not first:
        return ()
    head = rng.choice(first)
    rest = [c.alias for c in left if c.kind in takes.kinds and c.alias != head]
    least = takes.least - 1
    if len(rest) < least:
        return ()
    return (head, *rng.sample(rest, rng.randint(least, min(len(rest), takes.most - 1, least + 1))))
