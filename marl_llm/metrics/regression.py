"""Metrics of numbers under row weights.

In: `Rows` and weights (B, n). Out: one value per line of weights, with scikit-learn's sign. Errors are cut at 1e140, so
that squares stay finite. Logarithmic errors and deviances have a domain; a prediction outside it, which scikit-learn
refuses, has the largest error there is, and the metric then its worst skill.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marl_llm.metrics.rows import Rows, row_mean, share_explained

_EPS = float(np.finfo(np.float64).eps)
_HUGE = 1e140  # the largest error of a row


def _errors(rows: Rows) -> np.ndarray:
    return np.clip(rows.y - rows.labels, -_HUGE, _HUGE)


def _log_errors(rows: Rows) -> np.ndarray:
    """Error of log(1 + value); both sides must be above -1."""
    inside = (rows.y > -1) & (rows.labels > -1)
    y, labels = np.where(inside, rows.y, 0.0), np.where(inside, rows.labels, 0.0)
    return np.where(inside, np.log1p(y) - np.log1p(np.minimum(labels, _HUGE)), _HUGE)


def _poisson_deviances(rows: Rows) -> np.ndarray:
    """2 (y log(y / mu) - y + mu) for y >= 0 and mu > 0, and its limit 0 where both are 0."""
    inside = (rows.y >= 0) & (rows.labels > 0)
    y, mu = np.where(inside, rows.y, 1.0), np.where(inside, np.minimum(rows.labels, _HUGE), 1.0)
    counted = y > 0
    log_ratio = np.log(np.where(counted, y, 1.0)) - np.log(np.where(counted, mu, 1.0))
    both_zero = (rows.y == 0) & (rows.labels == 0)
    return np.where(inside, np.maximum(2 * (y * log_ratio - y + mu), 0.0), np.where(both_zero, 0.0, _HUGE))


def _gamma_deviances(rows: Rows) -> np.ndarray:
    """2 (log(mu / y) + y / mu - 1) for y > 0 and mu > 0."""
    inside = (rows.y > 0) & (rows.labels > 0)
    y, mu = np.where(inside, rows.y, 1.0), np.where(inside, np.minimum(rows.labels, _HUGE), 1.0)
    with np.errstate(over="ignore"):
        deviances = 2 * (np.log(mu) - np.log(y) + y / mu - 1)
    return np.where(inside, np.clip(deviances, 0.0, _HUGE), _HUGE)


_ROW_LOSSES: dict[str, Callable[[Rows], np.ndarray]] = {
    "neg_mean_squared_error": lambda rows: _errors(rows) ** 2,
    "neg_mean_absolute_error": lambda rows: np.abs(_errors(rows)),
    "neg_mean_absolute_percentage_error": lambda rows: np.abs(_errors(rows)) / np.maximum(np.abs(rows.y), _EPS),
    "neg_mean_squared_log_error": lambda rows: _log_errors(rows) ** 2,
    "neg_mean_poisson_deviance": _poisson_deviances,
    "neg_mean_gamma_deviance": _gamma_deviances,
}
_ROOTS = {
    "neg_root_mean_squared_error": "neg_mean_squared_error",
    "neg_root_mean_squared_log_error": "neg_mean_squared_log_error",
}


def _mean_loss(loss: Callable[[Rows], np.ndarray]) -> Callable[[Rows, np.ndarray], np.ndarray]:
    return lambda rows, weights_BN: -row_mean(loss(rows), weights_BN)


def _root_mean_loss(loss: Callable[[Rows], np.ndarray]) -> Callable[[Rows, np.ndarray], np.ndarray]:
    return lambda rows, weights_BN: -np.sqrt(row_mean(loss(rows), weights_BN))


def _variance(values_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    centred = values_N - values_N.mean()
    return np.maximum(row_mean(centred**2, weights_BN) - row_mean(centred, weights_BN) ** 2, 0.0)


def _r2(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return share_explained(row_mean(_errors(rows) ** 2, weights_BN), _variance(rows.y, weights_BN))


def _explained_variance(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return share_explained(_variance(_errors(rows), weights_BN), _variance(rows.y, weights_BN))


def _median(values_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """Mean of the lower and the upper weighted median, which for counts is the ordinary median of the resample."""
    order = np.argsort(values_N)
    cumulated = np.cumsum(weights_BN[:, order], axis=1)
    half = cumulated[:, -1:] / 2
    lower = np.argmax(cumulated >= half, axis=1)
    upper = np.argmax(cumulated > half, axis=1)
    return (values_N[order][lower] + values_N[order][upper]) / 2


def _median_absolute_error(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return -_median(np.abs(_errors(rows)), weights_BN)


def _max_error(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Largest error among the rows that have weight."""
    errors = np.abs(_errors(rows))
    order = np.argsort(-errors)
    return -errors[order][np.argmax(weights_BN[:, order] > 0, axis=1)]


def _d2_absolute_error(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Share of the mean absolute error that is explained, against the median of the rows scored."""
    distances_BN = np.abs(rows.y - _median(rows.y, weights_BN)[:, None])
    total = np.einsum("bn,bn->b", distances_BN, weights_BN) / weights_BN.sum(axis=1)
    return share_explained(row_mean(np.abs(_errors(rows)), weights_BN), total)


REGRESSION: dict[str, Callable[[Rows, np.ndarray], np.ndarray]] = {
    "r2": _r2,
    "explained_variance": _explained_variance,
    "d2_absolute_error_score": _d2_absolute_error,
    "neg_median_absolute_error": _median_absolute_error,
    "neg_max_error": _max_error,
    **{name: _mean_loss(loss) for name, loss in _ROW_LOSSES.items()},
    **{name: _root_mean_loss(_ROW_LOSSES[squared]) for name, squared in _ROOTS.items()},
}
