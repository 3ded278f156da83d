"""What every metric is computed from: true targets beside predictions, under row weights; and some
rules of arithmetic. No metric here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


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
    """Weighted rows per class, each (B, K): correctly predicted, truly of the class, predicted as
    the class.
    """

    hit: np.ndarray
    true: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class Sample:
    """Rows under lines of weights: what a metric gets.

    Attributes
    ----------
    rows : Rows
        n of them.
    weights_BN : ndarray, shape (B, n)
        Non-negative, no line all zero. A line of ones gives the plain metric, multinomial counts a
        bootstrap resample.
    """

    rows: Rows
    weights_BN: np.ndarray

    @cached_property
    def counts(self) -> Counts:
        """Rows per class under each line of weights, computed once for all metrics of counts."""
        K: int = self.rows.proba.shape[1]
        classes = np.arange(K)
        true_NK = np.equal(self.rows.y[:, None], classes).astype(np.float64)
        predicted_NK = np.equal(self.rows.labels[:, None], classes).astype(np.float64)
        weights = self.weights_BN
        return Counts(weights @ (true_NK * predicted_NK), weights @ true_NK, weights @ predicted_NK)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Numerator / denominator, 0 where the denominator is 0 (scikit-learn's `zero_division`)."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def row_mean(values_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """Mean of a value per row under each line of weights, shape (B,)."""
    return weights_BN @ values_N / weights_BN.sum(axis=1)


def share_explained(unexplained: np.ndarray, total: np.ndarray) -> np.ndarray:
    """1 - unexplained / total; where nothing varies, 1 for no error and 0 for any (as
    scikit-learn's r2).
    """
    return np.where(total > 0, 1 - ratio(unexplained, total), (unexplained <= 0).astype(float))
