"""Metrics of numbers under row weights.

In: `Rows` and weights (B, n). Out: one value per line of weights, with scikit-learn's sign. Errors
are cut at 1e140, so that squares stay finite. Logarithmic errors and deviances have a domain; a
prediction outside it, which scikit-learn refuses, has the largest error there is, and the metric
then its worst skill.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marl_llm.core.metrics.record import REGRESSION, Domain, Metric, Trivial
from marl_llm.core.metrics.rows import Rows, Sample, row_mean, share_explained

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
    return np.where(
        inside, np.maximum(2 * (y * log_ratio - y + mu), 0.0), np.where(both_zero, 0.0, _HUGE)
    )


def _gamma_deviances(rows: Rows) -> np.ndarray:
    """2 (log(mu / y) + y / mu - 1) for y > 0 and mu > 0."""
    inside = (rows.y > 0) & (rows.labels > 0)
    y, mu = np.where(inside, rows.y, 1.0), np.where(inside, np.minimum(rows.labels, _HUGE), 1.0)
    with np.errstate(over="ignore"):
        deviances = 2 * (np.log(mu) - np.log(y) + y / mu - 1)
    return np.where(inside, np.clip(deviances, 0.0, _HUGE), _HUGE)


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
    """Mean of the lower and the upper weighted median, which for counts is the ordinary median of
    the resample.
    """
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


def _squared(rows: Rows) -> np.ndarray:
    return _errors(rows) ** 2


def _absolute(rows: Rows) -> np.ndarray:
    return np.abs(_errors(rows))


def _relative(rows: Rows) -> np.ndarray:
    return _absolute(rows) / np.maximum(np.abs(rows.y), _EPS)


def _squared_log(rows: Rows) -> np.ndarray:
    return _log_errors(rows) ** 2


def _metric(
    name: str,
    value: Callable[[Rows, np.ndarray], np.ndarray],
    against: Trivial | None = None,
    everyday: tuple[str, ...] = (),
    domain: Domain | None = None,
) -> Metric:
    def of_sample(sample: Sample) -> np.ndarray:
        return value(sample.rows, sample.weights_BN)

    return Metric(name, REGRESSION, of_sample, against=against, everyday=everyday, domain=domain)


_MEAN, _MEDIAN, _LOG_MEAN = Trivial.mean, Trivial.median, Trivial.log_mean
_ABOVE_MINUS_ONE, _FROM_ZERO, _ABOVE_ZERO = (
    Domain(-1.0, False),
    Domain(0.0, True),
    Domain(0.0, False),
)
OF_NUMBERS: tuple[Metric, ...] = (
    _metric("r2", _r2),
    _metric("explained_variance", _explained_variance),
    _metric("d2_absolute_error_score", _d2_absolute_error),
    _metric("neg_root_mean_squared_error", _root_mean_loss(_squared), _MEAN, ("rmse",)),
    _metric("neg_mean_squared_error", _mean_loss(_squared), _MEAN, ("mse",)),
    _metric("neg_mean_absolute_error", _mean_loss(_absolute), _MEDIAN, ("mae",)),
    _metric("neg_median_absolute_error", _median_absolute_error, _MEDIAN),
    _metric("neg_mean_absolute_percentage_error", _mean_loss(_relative), _MEDIAN, ("mape",)),
    _metric("neg_max_error", _max_error, _MEAN),
    _metric(
        "neg_mean_squared_log_error",
        _mean_loss(_squared_log),
        _LOG_MEAN,
        ("msle",),
        _ABOVE_MINUS_ONE,
    ),
    _metric(
        "neg_root_mean_squared_log_error",
        _root_mean_loss(_squared_log),
        _LOG_MEAN,
        ("rmsle",),
        _ABOVE_MINUS_ONE,
    ),
    _metric("neg_mean_poisson_deviance", _mean_loss(_poisson_deviances), _MEAN, domain=_FROM_ZERO),
    _metric("neg_mean_gamma_deviance", _mean_loss(_gamma_deviances), _MEAN, domain=_ABOVE_ZERO),
)
