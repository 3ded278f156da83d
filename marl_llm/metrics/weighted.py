"""Every metric as a function of row weights.

Input: the true targets and predictions of n rows (`Rows`) and a matrix of weights `weights_BN`, one line per resample
(a line of ones gives the plain metric, multinomial counts give a bootstrap resample). Output: one raw value per line,
with scikit-learn's sign (losses are negative) and scikit-learn's conventions for empty classes. The positive class of
binary metrics is class index 1. No skill and no significance is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from marl_llm.metrics import ranked
from marl_llm.metrics.counted import COUNTED, count_classes
from marl_llm.metrics.rows import Rows, ratio, row_mean

_EPS = float(np.finfo(np.float64).eps)  # scikit-learn clips probabilities to [eps, 1 - eps]
_HUGE = 1e140  # errors beyond this are cut, so that squares stay finite


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
    counts = count_classes(rows, weights_BN) if any(name in COUNTED for name in names) else None
    values: dict[str, np.ndarray] = {}
    for name in names:
        if counts is not None and name in COUNTED:
            values[name] = COUNTED[name](counts)
        elif name in _ROW_LOSSES:
            values[name] = -row_mean(_ROW_LOSSES[name](rows), weights_BN)
        else:
            values[name] = _OTHERS[name](rows, weights_BN)
    return values


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


def _root_mean_squared(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return -np.sqrt(row_mean(_errors(rows) ** 2, weights_BN))


def _variance(values_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    centred = values_N - values_N.mean()
    return np.maximum(row_mean(centred**2, weights_BN) - row_mean(centred, weights_BN) ** 2, 0.0)


def _share_explained(unexplained: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.where(variance > 0, 1 - ratio(unexplained, variance), (unexplained == 0).astype(float))


def _r2(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    return _share_explained(row_mean(_errors(rows) ** 2, weights_BN), _variance(rows.y, weights_BN))


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
    "roc_auc": ranked.binary_roc_auc,
    "roc_auc_ovr": lambda rows, weights: ranked.one_versus_rest(rows, weights, False),
    "roc_auc_ovr_weighted": lambda rows, weights: ranked.one_versus_rest(rows, weights, True),
    "roc_auc_ovo": lambda rows, weights: ranked.one_versus_one(rows, weights, False),
    "roc_auc_ovo_weighted": lambda rows, weights: ranked.one_versus_one(rows, weights, True),
    "average_precision": ranked.mean_average_precision,
    "r2": _r2,
    "explained_variance": _explained_variance,
    "neg_root_mean_squared_error": _root_mean_squared,
    "neg_median_absolute_error": _median_absolute_error,
}
