"""Metrics of class counts (accuracy, precision, recall, F1, Jaccard, Matthews, likelihood ratios)
under row weights.

In: `Counts` under each line of weights. Out: one value per line, with scikit-learn's conventions
for empty classes. The positive class of binary metrics is class index 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.record import BINARY, CLASSIFICATION, Metric
from marl_llm.core.metrics.rows import Counts, Sample, ratio

_LIMIT = 1e12  # a likelihood ratio is cut here: beyond, its denominator is zero


def _precision(counts: Counts) -> np.ndarray:
    return ratio(counts.hit, counts.predicted)


def _recall(counts: Counts) -> np.ndarray:
    return ratio(counts.hit, counts.true)


def _f1(counts: Counts) -> np.ndarray:
    return ratio(2 * counts.hit, counts.true + counts.predicted)


def _jaccard(counts: Counts) -> np.ndarray:
    return ratio(counts.hit, counts.true + counts.predicted - counts.hit)


PerClass = Callable[[Counts], np.ndarray]


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
        pooled = (
            part.sum(axis=1, keepdims=True) for part in (counts.hit, counts.true, counts.predicted)
        )
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
    """A likelihood ratio: 1 for 0 / 0, and its limit for x / 0, where scikit-learn's scorers put 1
    as well.

    With scikit-learn's placeholder a perfect classifier (no false alarm) would rank with one that
    knows nothing.
    """
    ratios = ratio(numerator, denominator)
    ratios = np.where((denominator <= 0) & (numerator > 0), _LIMIT, np.minimum(ratios, _LIMIT))
    return np.where((denominator <= 0) & (numerator <= 0), 1.0, ratios)


def _metric(
    name: str,
    kinds: frozenset[Kind],
    value: PerClass,
    *,
    of_class: Callable[[Sample, int], np.ndarray] | None = None,
    skill: Callable[[np.ndarray], np.ndarray] | None = None,
    everyday: tuple[str, ...] = (),
) -> Metric:
    return Metric(
        name,
        kinds,
        lambda sample: value(sample.counts),
        of_class,
        skill=skill,
        everyday=everyday,
    )


def _of_one_class(per_class: PerClass) -> Callable[[Sample, int], np.ndarray]:
    return lambda sample, index: per_class(sample.counts)[:, index]


_PER_CLASS: dict[str, PerClass] = {
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
    "jaccard": _jaccard,
}
_AVERAGES: dict[str, Callable[[PerClass], PerClass]] = {
    "macro": _macro,
    "micro": _micro,
    "weighted": _weighted,
}
COUNTED: tuple[Metric, ...] = (
    _metric("accuracy", CLASSIFICATION, _accuracy, everyday=("acc",)),
    _metric("balanced_accuracy", CLASSIFICATION, _balanced_accuracy),
    _metric("matthews_corrcoef", CLASSIFICATION, _matthews, everyday=("mcc",)),
    _metric(
        "positive_likelihood_ratio",
        BINARY,
        _positive_likelihood_ratio,
        skill=lambda raw: (raw - 1) / (raw + 1),
    ),
    _metric(
        "neg_negative_likelihood_ratio",
        BINARY,
        _negative_likelihood_ratio,
        skill=lambda raw: (1 + raw) / (1 - raw),
    ),
    *(
        _metric(name, BINARY, _positive(per_class), of_class=_of_one_class(per_class))
        for name, per_class in _PER_CLASS.items()
    ),
    *(
        _metric(f"{name}_{how}", CLASSIFICATION, average(per_class))
        for name, per_class in _PER_CLASS.items()
        for how, average in _AVERAGES.items()
    ),
)
