"""Metrics of ranks (areas under ROC curves, average precision) under row weights.

In: `Rows` and weights (B, n). Out: one value per line of weights; all lines share one sort. Where
an area is undefined because a class is missing from the rows, it is 0.5.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.record import BINARY, CLASSIFICATION, Metric
from marl_llm.core.metrics.rows import Rows, Sample, ratio


def _tied_weights(
    positive_N: np.ndarray, score_N: np.ndarray, weights_BN: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positives and of negatives, summed over rows of equal score; both (B, groups),
    ascending in score.
    """
    order = np.argsort(score_N, kind="stable")
    starts = np.flatnonzero(np.diff(score_N[order], prepend=-np.inf))
    sorted_BN = weights_BN[:, order]
    positive = positive_N[order]
    return np.add.reduceat(sorted_BN * positive, starts, axis=1), np.add.reduceat(
        sorted_BN * ~positive, starts, axis=1
    )


def _area_under_roc(
    positive_N: np.ndarray, score_N: np.ndarray, weights_BN: np.ndarray
) -> np.ndarray:
    """Probability that a positive outranks a negative, ties count half; 0.5 where one of the two is
    missing.
    """
    positives, negatives = _tied_weights(positive_N, score_N, weights_BN)
    won = (positives * (np.cumsum(negatives, axis=1) - negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.where(pairs > 0, ratio(won, pairs), 0.5)


def _average_precision(
    positive_N: np.ndarray, score_N: np.ndarray, weights_BN: np.ndarray
) -> np.ndarray:
    """Sum over thresholds of the step in recall times the precision; 0 without positives."""
    positives, negatives = _tied_weights(positive_N, -score_N, weights_BN)
    precision = ratio(np.cumsum(positives, axis=1), np.cumsum(positives + negatives, axis=1))
    return ratio((positives * precision).sum(axis=1), positives.sum(axis=1))


def class_roc_auc(rows: Rows, weights_BN: np.ndarray, index: int) -> np.ndarray:
    """Area of one class against the rest."""
    return _area_under_roc(rows.y == index, rows.proba[:, index], weights_BN)


def class_average_precision(rows: Rows, weights_BN: np.ndarray, index: int) -> np.ndarray:
    """Average precision of one class against the rest."""
    return _average_precision(rows.y == index, rows.proba[:, index], weights_BN)


def binary_roc_auc(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Area of class 1 of a binary target."""
    return class_roc_auc(rows, weights_BN, 1)


def mean_average_precision(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Class 1 of a binary target; mean over the classes that occur otherwise."""
    classes = range(rows.proba.shape[1]) if rows.proba.shape[1] > 2 else [1]
    values = [class_average_precision(rows, weights_BN, c) for c in classes]
    present = [weights_BN @ (rows.y == c) > 0 for c in classes]
    return ratio(np.sum(values, axis=0), np.sum(present, axis=0).astype(float))


def one_versus_rest(rows: Rows, weights_BN: np.ndarray, by_prevalence: bool) -> np.ndarray:
    """Mean over classes of the area against all others."""
    if rows.proba.shape[1] == 2:
        return binary_roc_auc(rows, weights_BN)
    truth = [rows.y == c for c in range(rows.proba.shape[1])]
    areas = [
        _area_under_roc(positive, rows.proba[:, c], weights_BN) for c, positive in enumerate(truth)
    ]
    rows_of_class = np.array([weights_BN @ positive for positive in truth])
    return _pool(np.array(areas), rows_of_class, by_prevalence)


def one_versus_one(rows: Rows, weights_BN: np.ndarray, by_prevalence: bool) -> np.ndarray:
    """Mean over pairs of classes of the two areas on the rows of the pair (Hand and Till 2001)."""
    K = rows.proba.shape[1]
    if K == 2:
        return binary_roc_auc(rows, weights_BN)
    areas: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    for a, b in itertools.combinations(range(K), 2):
        of_pair = (rows.y == a) | (rows.y == b)
        y, proba, weights = rows.y[of_pair], rows.proba[of_pair], weights_BN[:, of_pair]
        if not len(y):
            continue
        areas.append(
            (
                _area_under_roc(y == a, proba[:, a], weights)
                + _area_under_roc(y == b, proba[:, b], weights)
            )
            / 2
        )
        sizes.append((weights @ (y == a) > 0) * (weights @ (y == b) > 0) * weights.sum(axis=1))
    return _pool(np.array(areas), np.array(sizes), by_prevalence)


def _pool(areas_KB: np.ndarray, sizes_KB: np.ndarray, by_prevalence: bool) -> np.ndarray:
    share = sizes_KB if by_prevalence else (sizes_KB > 0).astype(float)
    return np.where(
        share.sum(axis=0) > 0, ratio((areas_KB * share).sum(axis=0), share.sum(axis=0)), 0.5
    )


def _metric(
    name: str,
    value: Callable[..., np.ndarray],
    kinds: frozenset[Kind] = CLASSIFICATION,
    *,
    of_class: Callable[[Sample, int], np.ndarray] | None = None,
    everyday: tuple[str, ...] = (),
) -> Metric:
    return Metric(
        name,
        kinds,
        lambda sample: value(sample.rows, sample.weights_BN),
        of_class,
        everyday=everyday,
    )


def _of_one_class(value: Callable[..., np.ndarray]) -> Callable[[Sample, int], np.ndarray]:
    return lambda sample, index: value(sample.rows, sample.weights_BN, index)


RANKED: tuple[Metric, ...] = (
    _metric(
        "roc_auc",
        binary_roc_auc,
        BINARY,
        of_class=_of_one_class(class_roc_auc),
        everyday=("auc", "auroc"),
    ),
    _metric("roc_auc_ovr", partial(one_versus_rest, by_prevalence=False)),
    _metric("roc_auc_ovo", partial(one_versus_one, by_prevalence=False)),
    _metric("roc_auc_ovr_weighted", partial(one_versus_rest, by_prevalence=True)),
    _metric("roc_auc_ovo_weighted", partial(one_versus_one, by_prevalence=True)),
    _metric(
        "average_precision",
        mean_average_precision,
        of_class=_of_one_class(class_average_precision),
        everyday=("ap",),
    ),
)
