"""Every metric as a function of row weights.

Input: the true targets and predictions of n rows (`Rows`) and a matrix of weights `weights_BN`, one line per resample
(a line of ones gives the plain metric, multinomial counts give a bootstrap resample). Output: one raw value per line,
with scikit-learn's sign (losses are negative) and scikit-learn's conventions for empty classes. The positive class of
binary metrics is class index 1. No skill and no significance is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

_EPS = float(np.finfo(np.float64).eps)  # scikit-learn clips probabilities to [eps, 1 - eps]
_HUGE = 1e140  # errors beyond this are cut, so that squares stay finite


@dataclass(frozen=True, eq=False)
class Rows:
    """True targets beside predictions.

    Attributes
    ----------
    y : ndarray, shape (n,)
        int64 class index or float64 value.
    labels : ndarray, shape (n,)
        Predicted class index or value.
    proba : ndarray, shape (n, K)
        Class probabilities; shape (n, 0) for regression.
    """

    y: np.ndarray
    labels: np.ndarray
    proba: np.ndarray


@dataclass(frozen=True, eq=False)
class Counts:
    """Weighted rows per class: correctly predicted, truly of the class, predicted as the class. Each of shape (B, K)."""

    hit: np.ndarray
    true: np.ndarray
    predicted: np.ndarray


def raw_values(names: Iterable[str], rows: Rows, weights_BN: np.ndarray) -> dict[str, np.ndarray]:
    """Raw metrics under each line of weights.

    Parameters
    ----------
    names : iterable of metric names
    rows : Rows
    weights_BN : ndarray, shape (B, n), non-negative, no line all zero

    Returns
    -------
    dict of metric name to float64 array, shape (B,)
    """
    names = list(names)
    counts = _count(rows, weights_BN) if any(name in _COUNTED for name in names) else None
    values: dict[str, np.ndarray] = {}
    for name in names:
        if counts is not None and name in _COUNTED:
            values[name] = _COUNTED[name](counts)
        elif name in _ROW_LOSSES:
            values[name] = -_weighted_mean(_ROW_LOSSES[name](rows), weights_BN)
        else:
            values[name] = _OTHERS[name](rows, weights_BN)
    return values


def _count(rows: Rows, weights_BN: np.ndarray) -> Counts:
    classes = np.arange(rows.proba.shape[1])
    true_NK = (rows.y[:, None] == classes).astype(np.float64)
    predicted_NK = (rows.labels[:, None] == classes).astype(np.float64)
    return Counts(weights_BN @ (true_NK * predicted_NK), weights_BN @ true_NK, weights_BN @ predicted_NK)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Numerator / denominator, 0 where the denominator is 0 (scikit-learn's `zero_division`)."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _weighted_mean(values_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    return weights_BN @ values_N / weights_BN.sum(axis=1)


# --- metrics of class counts ---------------------------------------------------------------------------------------------------


def _precision(counts: Counts) -> np.ndarray:
    return _ratio(counts.hit, counts.predicted)


def _recall(counts: Counts) -> np.ndarray:
    return _ratio(counts.hit, counts.true)


def _f1(counts: Counts) -> np.ndarray:
    return _ratio(2 * counts.hit, counts.true + counts.predicted)


def _jaccard(counts: Counts) -> np.ndarray:
    return _ratio(counts.hit, counts.true + counts.predicted - counts.hit)


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
    return _ratio(covariance, np.sqrt(spread_true * spread_predicted))


_PER_CLASS: dict[str, PerClass] = {"f1": _f1, "precision": _precision, "recall": _recall, "jaccard": _jaccard}
_AVERAGES: dict[str, Callable[[PerClass], PerClass]] = {"macro": _macro, "micro": _micro, "weighted": _weighted}
_COUNTED: dict[str, PerClass] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "matthews_corrcoef": _matthews,
    **{name: _positive(metric) for name, metric in _PER_CLASS.items()},
    **{f"{name}_{how}": average(metric) for name, metric in _PER_CLASS.items() for how, average in _AVERAGES.items()},
}


# --- means of a loss per row ---------------------------------------------------------------------------------------------------


def _log_losses(rows: Rows) -> np.ndarray:
    return -np.log(np.clip(rows.proba[np.arange(len(rows.y)), rows.y], _EPS, 1 - _EPS))


def _brier_losses(rows: Rows) -> np.ndarray:
    truth = rows.y[:, None] == np.arange(rows.proba.shape[1])
    half = 0.5 if rows.proba.shape[1] == 2 else 1.0
    return half * ((truth - rows.proba) ** 2).sum(axis=1)


def _errors(rows: Rows) -> np.ndarray:
    return np.clip(rows.y - rows.labels, -_HUGE, _HUGE)


_ROW_LOSSES: dict[str, Callable[[Rows], np.ndarray]] = {
    "neg_log_loss": _log_losses,
    "neg_brier_score": _brier_losses,
    "neg_mean_squared_error": lambda rows: _errors(rows) ** 2,
    "neg_mean_absolute_error": lambda rows: np.abs(_errors(rows)),
    "neg_mean_absolute_percentage_error": lambda rows: np.abs(_errors(rows)) / np.maximum(np.abs(rows.y), _EPS),
}


# --- metrics of ranks, and the other regression metrics ------------------------------------------------------------------------


def _tied_weights(positive_N: np.ndarray, score_N: np.ndarray, weights_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positives and of negatives, summed over rows of equal score, in ascending order of score; both (B, groups)."""
    order = np.argsort(score_N, kind="stable")
    starts = np.flatnonzero(np.diff(score_N[order], prepend=-np.inf))
    sorted_BN = weights_BN[:, order]
    positive = positive_N[order]
    return np.add.reduceat(sorted_BN * positive, starts, axis=1), np.add.reduceat(sorted_BN * ~positive, starts, axis=1)


def _area_under_roc(positive_N: np.ndarray, score_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """Probability that a positive outranks a negative, ties count half; 0.5 where one of the two is missing."""
    positives, negatives = _tied_weights(positive_N, score_N, weights_BN)
    won = (positives * (np.cumsum(negatives, axis=1) - negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.where(pairs > 0, _ratio(won, pairs), 0.5)


def _average_precision(positive_N: np.ndarray, score_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """Sum over thresholds of the step in recall times the precision; 0 without positives."""
    positives, negatives = _tied_weights(positive_N, -score_N, weights_BN)
    precision = _ratio(np.cumsum(positives, axis=1), np.cumsum(positives + negatives, axis=1))
    return _ratio((positives * precision).sum(axis=1), positives.sum(axis=1))


def _binary_roc_auc(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return _area_under_roc(rows.y == 1, rows.proba[:, 1], weights_BN)


def _mean_average_precision(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Class 1 of a binary target; mean over the classes that occur otherwise."""
    classes = range(rows.proba.shape[1]) if rows.proba.shape[1] > 2 else [1]
    values = [_average_precision(rows.y == c, rows.proba[:, c], weights_BN) for c in classes]
    present = [weights_BN @ (rows.y == c) > 0 for c in classes]
    return _ratio(np.sum(values, axis=0), np.sum(present, axis=0).astype(float))


def _one_versus_rest(rows: Rows, weights_BN: np.ndarray, by_prevalence: bool) -> np.ndarray:
    if rows.proba.shape[1] == 2:
        return _binary_roc_auc(rows, weights_BN)
    truth = [rows.y == c for c in range(rows.proba.shape[1])]
    areas = [_area_under_roc(positive, rows.proba[:, c], weights_BN) for c, positive in enumerate(truth)]
    rows_of_class = np.array([weights_BN @ positive for positive in truth])
    return _pool(np.array(areas), rows_of_class, by_prevalence)


def _one_versus_one(rows: Rows, weights_BN: np.ndarray, by_prevalence: bool) -> np.ndarray:
    """Mean over pairs of classes of the two areas on the rows of the pair (Hand and Till 2001)."""
    K = rows.proba.shape[1]
    if K == 2:
        return _binary_roc_auc(rows, weights_BN)
    areas, sizes = [], []
    for a, b in ((a, b) for a in range(K) for b in range(a + 1, K)):
        of_pair = (rows.y == a) | (rows.y == b)
        y, proba, weights = rows.y[of_pair], rows.proba[of_pair], weights_BN[:, of_pair]
        if not len(y):
            continue
        areas.append(
            (_area_under_roc(y == a, proba[:, a], weights) + _area_under_roc(y == b, proba[:, b], weights)) / 2
        )
        sizes.append((weights @ (y == a) > 0) * (weights @ (y == b) > 0) * weights.sum(axis=1))
    return _pool(np.array(areas), np.array(sizes), by_prevalence)


def _pool(areas_KB: np.ndarray, sizes_KB: np.ndarray, by_prevalence: bool) -> np.ndarray:
    share = sizes_KB if by_prevalence else (sizes_KB > 0).astype(float)
    return np.where(share.sum(axis=0) > 0, _ratio((areas_KB * share).sum(axis=0), share.sum(axis=0)), 0.5)


def _root_mean_squared(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return -np.sqrt(_weighted_mean(_errors(rows) ** 2, weights_BN))


def _variance(values_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    centred = values_N - values_N.mean()
    return np.maximum(_weighted_mean(centred**2, weights_BN) - _weighted_mean(centred, weights_BN) ** 2, 0.0)


def _share_explained(unexplained: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.where(variance > 0, 1 - _ratio(unexplained, variance), (unexplained == 0).astype(float))


def _r2(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return _share_explained(_weighted_mean(_errors(rows) ** 2, weights_BN), _variance(rows.y, weights_BN))


def _explained_variance(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return _share_explained(_variance(_errors(rows), weights_BN), _variance(rows.y, weights_BN))


def _median_absolute_error(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Mean of the lower and the upper weighted median, which for counts is the ordinary median of the resample."""
    errors = np.abs(_errors(rows))
    order = np.argsort(errors)
    cumulated = np.cumsum(weights_BN[:, order], axis=1)
    half = cumulated[:, -1:] / 2
    lower = np.argmax(cumulated >= half, axis=1)
    upper = np.argmax(cumulated > half, axis=1)
    return -(errors[order][lower] + errors[order][upper]) / 2


_OTHERS: dict[str, Callable[[Rows, np.ndarray], np.ndarray]] = {
    "roc_auc": _binary_roc_auc,
    "roc_auc_ovr": lambda rows, weights: _one_versus_rest(rows, weights, False),
    "roc_auc_ovr_weighted": lambda rows, weights: _one_versus_rest(rows, weights, True),
    "roc_auc_ovo": lambda rows, weights: _one_versus_one(rows, weights, False),
    "roc_auc_ovo_weighted": lambda rows, weights: _one_versus_one(rows, weights, True),
    "average_precision": _mean_average_precision,
    "r2": _r2,
    "explained_variance": _explained_variance,
    "neg_root_mean_squared_error": _root_mean_squared,
    "neg_median_absolute_error": _median_absolute_error,
}
