"""Every change that the Data Scientist could ask for next, one by one: the space of the exhaustive
one-step search.

In: a task's card and the current solution. Out: actions with the solutions they make, without
repetition. Covered are the estimators of the core space, each as it comes and with each grid value
of each common parameter alone; the current estimator's common parameters, one at a time; every
preparation that concerns all columns (filling, scaling, encoding, selection, components, and added
features of all columns of a kind); logarithm and removal of single columns; the products of the
columns that go most with the target. Not covered, since they multiply: two changes at once,
parameters or estimators outside the core space, ensembles, regions, calibration and thresholds,
ratios, differences and group means.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from marl_llm.environment import TaskCard
from marl_llm.environment.card import ColumnCard
from marl_llm.proposals import (
    AddFeatures,
    Drop,
    EngineerFeatures,
    InvalidAction,
    Pca,
    PipelineSpec,
    Proposal,
    ProposeModel,
    Select,
    Tune,
    apply,
    canonical,
    effective,
    resolve_columns,
)
from marl_llm.proposals.estimators import ESTIMATORS, estimators_for
from marl_llm.proposals.features import FeatureName
from marl_llm.proposals.ops import CHOICES
from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.preparation import with_argument

MOST_COLUMNS = 20
"""Single columns tried at most: logarithms of those that go most with the target, removal of those
that go least.
"""
MOST_PAIRED = 5
"""Columns whose pairs are multiplied: those that go most with the target."""
_SELECT = (5, 10, 20)
_PCA = (0.9, 0.95, 0.99)


@dataclass(frozen=True)
class OneStep:
    """One proposal and the solution it makes."""

    action: Proposal
    spec: PipelineSpec

    @property
    def text(self) -> str:
        """Canonical text of the proposal."""
        return canonical(self.action)

    @property
    def family(self) -> str:
        """Which action: propose_model, tune or engineer_features."""
        return self.action.action


def one_steps(card: TaskCard, spec: PipelineSpec) -> list[OneStep]:
    """Proposals that each make another solution on these data; of those that make the same one the
    first.

    Parameters
    ----------
    card : TaskCard
        Columns and kind of target.
    spec : PipelineSpec
        The solution to start from; no ensemble.
    """
    context = card.context()
    seen = {effective(spec, context).model_dump_json()}
    found: list[OneStep] = []
    for drawn in _actions(card, spec):
        try:
            action = resolve_columns(drawn, context)
            after = apply(action, spec, context)
        except InvalidAction:
            continue  # nothing of that kind in these data
        same = effective(after, context).model_dump_json()
        if same not in seen:
            seen.add(same)
            found.append(OneStep(action, after))
    return found


def _actions(card: TaskCard, spec: PipelineSpec) -> Iterator[Proposal]:
    yield from _models(card, spec)
    yield from _tunes(spec)
    for op in itertools.chain(_whole(), _of_kinds(card, spec), _of_columns(card, spec)):
        yield EngineerFeatures(ops=(op,))


def _models(card: TaskCard, spec: PipelineSpec) -> Iterator[ProposeModel]:
    """Other estimators of the core space, as they come and with one parameter set."""
    for info in estimators_for(card.kind, core=True):
        if info.name == spec.estimator:
            continue
        yield ProposeModel(estimator=info.name)
        for param in info.params:
            for value in param.grid if param.common else ():
                yield ProposeModel(estimator=info.name, params={param.name: value})


def _tunes(spec: PipelineSpec) -> Iterator[Tune]:
    for param in ESTIMATORS[spec.estimator].params:
        for value in param.grid if param.common else ():
            yield Tune(params={param.name: value})


def _whole() -> Iterator[OperationAction]:
    """Preparations that name no column."""
    for choice in CHOICES:
        yield from (with_argument(choice, word) for word in choice.words)
    yield from (Select(k=k) for k in _SELECT)
    yield from (Pca(variance=variance) for variance in _PCA)


def _of_kinds(card: TaskCard, spec: PipelineSpec) -> Iterator[AddFeatures]:
    """Features of all columns of a kind at once."""
    left = _left(card, spec)
    numbers = tuple(c.alias for c in left if c.numeric)
    gaps = tuple(c.alias for c in left if c.missing > 0 and c.kind != "text")
    dates = tuple(c.alias for c in left if c.kind == "date")
    wanted: tuple[tuple[FeatureName, tuple[str, ...]], ...] = (
        ("log", numbers),
        ("bin", numbers),
        ("missing", gaps),
        ("dates", dates),
    )
    for op, columns in wanted:
        if columns:
            yield AddFeatures(op=op, columns=columns)
    for column in left:
        if column.kind == "text":
            yield AddFeatures(op="tfidf", columns=(column.alias,))


def _of_columns(card: TaskCard, spec: PipelineSpec) -> Iterator[AddFeatures | Drop]:
    """Logarithms, products and removal of single columns."""
    strongest = sorted(_left(card, spec), key=lambda column: -column.association)
    numbers = [column.alias for column in strongest if column.numeric]
    yield from (AddFeatures(op="log", columns=(alias,)) for alias in numbers[:MOST_COLUMNS])
    for pair in itertools.combinations(numbers[:MOST_PAIRED], 2):
        yield AddFeatures(op="polynomial", columns=pair)
    if len(numbers) > 2:
        yield AddFeatures(op="polynomial", columns=tuple(numbers[:3]))
    yield from (Drop(columns=(column.alias,)) for column in strongest[::-1][:MOST_COLUMNS])


def _left(card: TaskCard, spec: PipelineSpec) -> list[ColumnCard]:
    return [column for column in card.columns if column.alias not in spec.drop]
