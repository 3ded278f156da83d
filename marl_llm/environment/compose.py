"""A blend's result from those of its members: what running its code would give, without fitting
anything again.

It rests on `proposals/blending.py`: a fitted blend predicts the weighted mean of what its members
predict by themselves. In: the members' results on the same folds. Out: a result, scored anew.
Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.environment.blend import blended
from marl_llm.environment.evaluated import Evaluated, pooled, some_rows
from marl_llm.metrics import Scores
from marl_llm.proposals import PipelineSpec
from marl_llm.sandbox import Stage, Status


@dataclass(frozen=True)
class FoldFacts:
    """What a blend's result needs to know of the folds.

    Attributes
    ----------
    bounds : sequence of (int, int)
        Where each fold of the cross-validation begins and ends among the pooled out-of-fold rows.
    shares : sequence of ndarray or None
        Class shares of the training rows of each fold, and last of all development rows; None for
        regression.
    """

    bounds: Sequence[tuple[int, int]]
    shares: Sequence[np.ndarray | None]


def composed(
    spec: PipelineSpec,
    parts: Sequence[Evaluated],
    folds: FoldFacts,
    score_folds: Callable[[Predictions], Scores],
    score_holdout: Callable[[Predictions], Scores],
) -> Evaluated:
    """The result of a blend.

    Parameters
    ----------
    spec : PipelineSpec
        The blend.
    parts : sequence of Evaluated
        Of its members, in their order.
    folds : FoldFacts
    score_folds, score_holdout : callable
        Score predictions of the pooled out-of-fold rows, and of the hold-out.

    Returns
    -------
    Evaluated
        With all folds; that of the first member that has not all of them, if there is one.
    """
    incomplete = next((one for one in parts if not one.complete), None)
    if incomplete is not None:
        return incomplete
    by_fold = [one.out_of_fold for one in parts if one.out_of_fold is not None]
    holdouts = [one.holdout_predictions for one in parts if one.holdout_predictions is not None]
    *shares, all_rows = folds.shares
    pieces = [
        blended([some_rows(one, start, stop) for one in by_fold], spec.weights, own, spec.power)
        for (start, stop), own in zip(folds.bounds, shares, strict=True)
    ]
    out_of_fold, holdout = pooled(pieces), blended(holdouts, spec.weights, all_rows, spec.power)
    return Evaluated(
        status=Status.ok,
        stage=Stage.predicted,
        cv=score_folds(out_of_fold),
        holdout=score_holdout(holdout),
        out_of_fold=out_of_fold,
        holdout_predictions=holdout,
        seconds=sum(one.seconds for one in parts),
        cpu_seconds=sum(one.cpu_seconds for one in parts),
        isolation=parts[0].isolation,
    )
