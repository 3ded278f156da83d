"""How well one thing tells the target on rows it was not learned from; the measure behind most
traps.

In: a column as numbers and the target, rows in the order of the file. Out: a share in (-inf, 1], 1
where the target is known exactly. Learned on one half of the rows and asked on the other, both
ways, so that memory counts for nothing. No estimator is tuned here: a column that determines the
target is found by its nearest value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

CERTAIN = 0.99  # share of the trivial predictor's errors that are avoided
EXACT = 0.9999  # share of the variance that is explained
MIN_ERRORS = 10  # the trivial predictor's; with fewer there is too little to be known


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean ranks; pandas' own, because scipy.stats takes a second to import."""
    return pd.Series(values).rank().to_numpy()


def as_number(column: pd.Series) -> np.ndarray:
    """float64 of a typed column: numbers as they are, words by their place in the alphabet, NaN
    where missing.
    """
    if column.dtype == np.float64:
        return column.to_numpy()
    codes = pd.factorize(column.to_numpy(dtype=object), sort=True)[0]
    return np.where(codes < 0, np.nan, codes.astype(np.float64))


def halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two random halves of n rows, always the same: boolean masks."""
    first = np.zeros(n, dtype=bool)
    first[np.random.default_rng(0).permutation(n)[: n // 2]] = True
    return first, ~first


def errors_avoided(y: np.ndarray, predicted: np.ndarray) -> float:
    """1 - errors / errors of always saying the most frequent class (Goodman and Kruskal's lambda).

    -inf where that makes too few errors to tell.
    """
    trivial = len(y) - np.bincount(y).max()
    return 1 - float((y != predicted).sum()) / trivial if trivial >= MIN_ERRORS else -np.inf


def variance_explained(y: np.ndarray, predicted: np.ndarray) -> float:
    """R2; -inf for a constant target."""
    total = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / total if total > 0 else -np.inf


def tells_class(x: np.ndarray, y: np.ndarray) -> float:
    """Share of errors avoided by saying the class of the nearest value in the other half; missing
    is a value.
    """
    x = _filled(x)
    predicted = np.empty_like(y)
    for learned in halves(len(y)):
        values, classes = _majority(x[learned], y[learned])
        predicted[~learned] = classes[_nearest(values, x[~learned])]
    return errors_avoided(y, predicted)


def tells_number(x: np.ndarray, y: np.ndarray) -> float:
    """Variance of the target's ranks explained: by interpolation between the other half's rows, or
    by order alone.
    """
    x, ranks = _filled(x), _ranks(y)
    predicted = np.empty_like(ranks)
    for learned in halves(len(y)):
        values, codes, counts = np.unique(x[learned], return_inverse=True, return_counts=True)
        means = np.bincount(codes, weights=ranks[learned]) / counts
        predicted[~learned] = np.interp(x[~learned], values, means)
    return max(variance_explained(ranks, predicted), rank_correlation(x, y) ** 2)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's, 0 for a constant."""
    a, b = _ranks(x), _ranks(y)
    return 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(np.corrcoef(a, b)[0, 1])


def _filled(x: np.ndarray) -> np.ndarray:
    """Missing values far above all others."""
    missing = np.isnan(x)
    if missing.all() or not missing.any():
        return np.nan_to_num(x)
    return np.where(missing, 2 * np.nanmax(x) - np.nanmin(x) + 1, x)


def _majority(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values, ascending, and the most frequent class of each."""
    values, codes = np.unique(x, return_inverse=True)
    pairs, counts = np.unique(codes * (y.max() + 1) + y, return_counts=True)
    best = np.lexsort((-counts, pairs // (y.max() + 1)))
    firsts = best[np.flatnonzero(np.diff(pairs[best] // (y.max() + 1), prepend=-1))]
    return values, pairs[firsts] % (y.max() + 1)


def _nearest(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Index of the nearest of ascending values."""
    right = (
        np.searchsorted(values, x).clip(1, len(values) - 1)
        if len(values) > 1
        else np.zeros(len(x), dtype=np.int64)
    )
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(x - values[left]) <= np.abs(values[right] - x), left, right)
