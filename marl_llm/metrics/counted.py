"""Metrics of class counts (accuracy, precision, recall, F1, Jaccard, Matthews, likelihood ratios) under row weights.

In: `Rows` and weights (B, n), reduced by three matrix products to `Counts`. Out: one value per line of weights, with
scikit-learn's conventions for empty classes. The positive class of binary metrics is class index 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marl_llm.metrics.rows import Rows, ratio

_LIMIT = 1e12  # a likelihood ratio is cut here: beyond, its denominator is zero


@dataclass(frozen=True, eq=False)
class Counts:
    """Weighted rows per class, each (B, K): correctly predicted, truly of the class, predicted as the class."""

    hit: np.ndarray
    true: np.ndarray
    predicted: np.ndarray


def count_classes(rows: Rows, weights_BN: np.ndarray) -> Counts:
    """Count under each line of weights."""
    classes = np.arange(rows.proba.shape[1])
    true_NK = (rows.y[:, None] == classes).astype(np.float64)
    predicted_NK = (rows.labels[:, None] == classes).astype(np.float64)
    return Counts(weights_BN @ (true_NK * predicted_NK), weights_BN @ true_NK, weights_BN @ predicted_NK)


def _precision(counts: Counts) -> np.ndarray:
    return ratio(counts.hit, counts.predicted)


def _recall(counts: Counts) -> np.ndarray:
    return ratio(counts.hit, counts.true)


def _f1(counts: Counts) -> np.ndarray:
    return ratio(2 * counts.hit, counts.true + counts.predicted)


def _jaccard(counts: Counts) -> np.ndarray:
    return ratio(counts.hit, counts.true + counts.predicted - counts.hit)


PerClass = Callable[[Counts], np.ndarray]


def of_class(name: str, counts: Counts, index: int) -> np.ndarray:
    """`f1`, `precision`, `recall` or `jaccard` of one class against the rest, shape (B,)."""
    return PER_CLASS[name](counts)[:, index]


def _positive(per_class: PerClass) -> PerClass:
    return lambda counts: per_class(counts)[:, 1]


def _macro(per_class: PerClass) -> PerClass:
    """Mean over the classes that occur among the true or the predicted labels."""

    def metric(counts: Counts) -> np.ndarray:
        present = counts.true + counts.predicted > 0
        return (per_class(counts) * present).sum(axis=1) / present.sum(axis=1)

    return metric


def _micro(per_class: PerClass) -> PerClass:
    def metric(counts: Counts) -> np.ndarray:
        pooled = (part.sum(axis=1, keepdims=True) for part in (counts.hit, counts.true, counts.predicted))
        return per_class(Counts(*pooled))[:, 0]

    return metric


def _weighted(per_class: PerClass) -> PerClass:
    return lambda counts: (per_class(counts) * counts.true).sum(axis=1) / counts.true.sum(axis=1)


def _accuracy(counts: Counts) -> np.ndarray:
    return counts.hit.sum(axis=1) / counts.true.sum(axis=1)


def _balanced_accuracy(counts: Counts) -> np.ndarray:
    return _recall(counts).sum(axis=1) / (counts.true > 0).sum(axis=1)


def _matthews(counts: Counts) -> np.ndarray:
    total = counts.true.sum(axis=1)
    covariance = counts.hit.sum(axis=1) * total - (counts.true * counts.predicted).sum(axis=1)
    spread_true = total**2 - (counts.true**2).sum(axis=1)
    spread_predicted = total**2 - (counts.predicted**2).sum(axis=1)
    return ratio(covariance, np.sqrt(spread_true * spread_predicted))


def _positive_likelihood_ratio(counts: Counts) -> np.ndarray:
    """True positive rate over false positive rate."""
    false_alarms = counts.true[:, 0] - counts.hit[:, 0]
    return _odds(counts.hit[:, 1] * counts.true[:, 0], false_alarms * counts.true[:, 1])


def _negative_likelihood_ratio(counts: Counts) -> np.ndarray:
    """False negative rate over true negative rate, as a loss."""
    misses = counts.true[:, 1] - counts.hit[:, 1]
    return -_odds(misses * counts.true[:, 0], counts.hit[:, 0] * counts.true[:, 1])


def _odds(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """A likelihood ratio: 1 for 0 / 0, and its limit for x / 0, where scikit-learn's scorers put 1 as well.

    With scikit-learn's placeholder a perfect classifier (no false alarm) would rank with one that knows nothing.
    """
    ratios = ratio(numerator, denominator)
    ratios = np.where((denominator <= 0) & (numerator > 0), _LIMIT, np.minimum(ratios, _LIMIT))
    return np.where((denominator <= 0) & (numerator <= 0), 1.0, ratios)


PER_CLASS: dict[str, PerClass] = {"f1": _f1, "precision": _precision, "recall": _recall, "jaccard": _jaccard}
_AVERAGES: dict[str, Callable[[PerClass], PerClass]] = {"macro": _macro, "micro": _micro, "weighted": _weighted}
COUNTED: dict[str, PerClass] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "matthews_corrcoef": _matthews,
    "positive_likelihood_ratio": _positive_likelihood_ratio,
    "neg_negative_likelihood_ratio": _negative_likelihood_ratio,
    **{name: _positive(metric) for name, metric in PER_CLASS.items()},
    **{f"{name}_{how}": average(metric) for name, metric in PER_CLASS.items() for how, average in _AVERAGES.items()},
}
