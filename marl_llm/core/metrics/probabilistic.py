"""Metrics of class probabilities, row by row, under row weights: log-loss, Brier score, their D2,
top-k accuracy.

In: `Rows` and weights (B, n). Out: one value per line of weights, with scikit-learn's sign. A D2 is
the share of the loss that is explained, against the class shares of the very rows that are scored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.record import CLASSIFICATION, MULTICLASS, Metric, Trivial
from marl_llm.core.metrics.rows import Rows, row_mean, share_explained

_EPS = float(np.finfo(np.float64).eps)  # scikit-learn clips probabilities to [eps, 1 - eps]
_TOP = 2  # scikit-learn's default k


def log_losses(rows: Rows) -> np.ndarray:
    """Log-loss of each row, nat."""
    return -np.log(np.clip(rows.proba[np.arange(len(rows.y)), rows.y], _EPS, 1 - _EPS))


def brier_losses(rows: Rows) -> np.ndarray:
    """Squared distance to the one-hot truth, halved for two classes (scikit-learn's
    `scale_by_half="auto"`).
    """
    half = 0.5 if rows.proba.shape[1] == 2 else 1.0
    return half * ((_one_hot(rows) - rows.proba) ** 2).sum(axis=1)


def _one_hot(rows: Rows) -> np.ndarray:
    K: int = rows.proba.shape[1]
    return np.equal(rows.y[:, None], np.arange(K))


def _shares(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Share of each class under each line of weights, (B, K)."""
    return weights_BN @ _one_hot(rows).astype(np.float64) / weights_BN.sum(axis=1, keepdims=True)


def _d2_log_loss(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    shares = _shares(rows, weights_BN)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    loss = row_mean(log_losses(rows), weights_BN)
    return share_explained(np.where(loss <= 2 * _EPS, 0.0, loss), entropy)


def _d2_brier(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    shares = _shares(rows, weights_BN)
    half = 0.5 if rows.proba.shape[1] == 2 else 1.0
    return share_explained(
        row_mean(brier_losses(rows), weights_BN), half * (shares * (1 - shares)).sum(axis=1)
    )


def _top_k_accuracy(rows: Rows, weights_BN: np.ndarray) -> np.ndarray:
    """Share of rows whose class is among the two most probable; of equal ones the later class goes
    first.
    """
    own = rows.proba[np.arange(len(rows.y)), rows.y][:, None]
    K: int = rows.proba.shape[1]
    later = np.greater(np.arange(K), rows.y[:, None])
    ahead = ((rows.proba > own) | ((rows.proba == own) & later)).sum(axis=1)
    return row_mean((ahead < _TOP).astype(np.float64), weights_BN)


def _metric(
    name: str,
    value: Callable[[Rows, np.ndarray], np.ndarray],
    kinds: frozenset[Kind] = CLASSIFICATION,
    *,
    against: Trivial | None = None,
    everyday: tuple[str, ...] = (),
) -> Metric:
    return Metric(
        name,
        kinds,
        lambda sample: value(sample.rows, sample.weights_BN),
        against=against,
        everyday=everyday,
    )


PROBABILISTIC: tuple[Metric, ...] = (
    _metric(
        "neg_log_loss",
        lambda rows, weights_BN: -row_mean(log_losses(rows), weights_BN),
        against=Trivial.priors,
        everyday=("logloss", "cross_entropy"),
    ),
    _metric(
        "neg_brier_score",
        lambda rows, weights_BN: -row_mean(brier_losses(rows), weights_BN),
        against=Trivial.priors,
        everyday=("brier",),
    ),
    _metric("d2_log_loss_score", _d2_log_loss),
    _metric("d2_brier_score", _d2_brier),
    _metric(
        "top_k_accuracy", _top_k_accuracy, kinds=MULTICLASS
    ),  # k = 2: with two classes it is always 1
)
