"""What `finish` delivers: the best of what was tried, or a blend of it, with the decision rule for
labels.

Which rows decide is the caller's choice. A rollout chooses on the folds alone, so that the hold-out
can still say whether the gain is real and the reward stays honest. `solve` chooses on folds and
hold-out together: what is delivered uses all the evidence there is, and the test part is still
unread.

The best of many settings is the luckiest. The start and the screened families, which nobody chose
by their scores here, are always candidates; what was tried beside these is one only if it is
significantly better than the best of them, by a paired test on the rows that decide. That a step
was accepted does not help: it was a gain over the solution before it, which need not be as good as
the best family. (A rollout, which must not deliver less than it was rewarded for, takes what was
accepted as it is.) Why: `evaluation/admission.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.environment.blend import Blend, choose_blend
from marl_llm.environment.evaluated import Evaluated, pooled
from marl_llm.environment.evaluator import Evaluator
from marl_llm.metrics import paired_bootstrap
from marl_llm.proposals import PipelineSpec
from marl_llm.proposals.applying import can_vote
from marl_llm.proposals.spec import BLEND

Rows = Literal["folds", "all"]
_LEVEL = 0.05
"""One-sided significance level of what joins start and families."""
_RESAMPLES = 200
_MOST_ROWS = 5000
"""Rows that greedy selection scores on: of more, an even sample."""


@dataclass(frozen=True)
class Tried:
    """A solution with all its folds and the hold-out."""

    spec: PipelineSpec
    evaluated: Evaluated


@dataclass(frozen=True)
class Evidence:
    """Scores predictions of the rows that decide."""

    evaluator: Evaluator
    rows: Rows

    def predictions(self, evaluated: Evaluated) -> Predictions:
        """Of the deciding rows, in a fixed order."""
        folds, holdout = evaluated.out_of_fold, evaluated.holdout_predictions
        assert folds is not None and holdout is not None
        joint = pooled([folds, holdout]) if self.rows == "all" else folds
        return _some(joint, self._sample(len(joint)))

    def labels(self) -> np.ndarray:
        """Targets of the same rows."""
        parts = [
            self.evaluator.out_of_fold_labels,
            *([self.evaluator.task.holdout.y] if self.rows == "all" else []),
        ]
        joint = np.concatenate(parts)
        return joint[self._sample(len(joint))]

    def score(self, evaluated: Evaluated) -> float:
        """The score of a solution on the deciding rows (of many, a sample)."""
        return self.evaluator.scores(self.labels(), self.predictions(evaluated)).score

    def clearly_better(self, one: Evaluated, other: Evaluated) -> bool:
        """True if `one` is significantly better than `other` on the deciding rows, by a paired
        bootstrap.
        """
        evaluator, before, after = self.evaluator, self.predictions(other), self.predictions(one)
        return paired_bootstrap(
            evaluator.task.metrics,
            self.labels(),
            before,
            after,
            evaluator.reference,
            level=_LEVEL,
            n_resamples=_RESAMPLES,
        ).significant

    @staticmethod
    def _sample(rows: int) -> np.ndarray:
        return (
            np.arange(rows)
            if rows <= _MOST_ROWS
            else np.linspace(0, rows - 1, _MOST_ROWS).astype(int)
        )


def choose_delivery(
    tried: Sequence[Tried],
    evidence: Evidence,
    most: int,
    plain: Collection[PipelineSpec] | None = None,
    accepted: Collection[PipelineSpec] = (),
) -> PipelineSpec:
    """The solution to deliver.

    Parameters
    ----------
    tried : sequence of Tried
        At least one, the start among them.
    evidence : Evidence
    most : int
        Different members of a blend; 1: the best single solution, with its decision rule.
    plain : collection of PipelineSpec, optional
        Start and families, the bar for what was tried beside them; None: there is no bar.
    accepted : collection of PipelineSpec
        What need not clear it.

    Returns
    -------
    PipelineSpec
        One of `tried`, or a blend of some.
    """
    if plain is not None:
        tried = _admitted(tried, evidence, plain, accepted)
    best = max(tried, key=lambda one: evidence.score(one.evaluated))
    pool = [one for one in tried if not one.spec.members and can_vote(one.spec)]
    if not pool:
        return best.spec
    labels, evaluator = evidence.labels(), evidence.evaluator
    priors = evaluator.class_shares
    chosen = choose_blend(
        [evidence.predictions(one.evaluated) for one in pool],
        priors,
        lambda predictions: evaluator.scores(labels, predictions).score,
        most,
    )
    spec = _spec([one.spec for one in pool], chosen)
    return spec if spec.members and chosen.score > evidence.score(best.evaluated) else best.spec


def _admitted(
    tried: Sequence[Tried],
    evidence: Evidence,
    plain: Collection[PipelineSpec],
    accepted: Collection[PipelineSpec],
) -> Sequence[Tried]:
    """What a delivery may be chosen from: what is plain or accepted, or clearly better than all
    that is plain.

    Specs are compared in normal form.
    """
    common, kept = ([spec.normal() for spec in specs] for specs in (plain, accepted))
    on_hand = [one for one in tried if one.spec.normal() in common]
    if not on_hand:
        return tried
    bar = max(on_hand, key=lambda one: evidence.score(one.evaluated)).evaluated
    free = (*common, *kept)
    return [
        one
        for one in tried
        if one.spec.normal() in free or evidence.clearly_better(one.evaluated, bar)
    ]


def _spec(pool: Sequence[PipelineSpec], chosen: Blend) -> PipelineSpec:
    taken = sorted(chosen.weights)
    if len(taken) == 1 and not chosen.power:
        return pool[taken[0]]  # and as such no better than the best by what it predicts itself
    weights = [chosen.weights[i] for i in taken]
    shared = int(np.gcd.reduce(weights))
    return PipelineSpec(
        estimator=BLEND,
        members=tuple(pool[i] for i in taken),
        weights=tuple(w // shared for w in weights),
        power=chosen.power,
    )


def distinct(specs: Iterable[PipelineSpec]) -> list[PipelineSpec]:
    """Specs without repetitions (in normal form), in their order."""
    found: dict[PipelineSpec, PipelineSpec] = {}
    for spec in specs:
        found.setdefault(spec.normal(), spec)
    return list(found.values())


def _some(predictions: Predictions, rows: np.ndarray) -> Predictions:
    proba = predictions.proba
    return Predictions(predictions.labels[rows], None if proba is None else proba[rows])
