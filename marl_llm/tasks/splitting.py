"""Seeded, stratified, disjoint parts of rows: development, hold-out and test, and folds for cross-validation.

In: targets. Out: sorted row positions. Strata are the classes, or ten quantile bins of a number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_llm.errors import UserError

_BINS = 10


def strata(y: np.ndarray, is_classification: bool) -> np.ndarray:
    """Stratum of each row, int64 shape (n,): the class, or the decile of the value (ties share a bin)."""
    if is_classification:
        return np.asarray(y, dtype=np.int64)
    edges = np.quantile(y, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.searchsorted(edges, y, side="right")


def split_rows(stratum: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Split rows into disjoint parts that cover all rows, each stratum in proportion to the fractions.

    Every part gets at least one row of each stratum that has as many rows as there are parts.

    Raises
    ------
    UserError
        If the fractions are not positive or do not sum to 1.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise UserError(f"The fractions {tuple(fractions)} are no split: give positive numbers that sum to 1.")
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for value in np.unique(stratum):
        rows = rng.permutation(np.flatnonzero(stratum == value))
        edges = np.cumsum(_sizes(len(rows), shares))[:-1]
        for part, chosen in zip(parts, np.split(rows, edges), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]


def cv_folds(stratum: np.ndarray, k: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """k folds (train rows, validation rows); each row is validated once, each stratum spread evenly.

    Raises
    ------
    UserError
        If k is below 2 or above the number of rows.
    """
    n = len(stratum)
    if not 2 <= k <= n:
        raise UserError(f"{k} folds are asked of {n} development rows: choose between 2 and {n}.")
    shuffled = np.random.default_rng(seed).permutation(n)
    by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold_of = np.empty(n, dtype=np.int64)
    fold_of[by_stratum] = np.arange(n) % k
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(k)]


def _sizes(n: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers that sum to n, nearest to the shares (largest remainder), none zero if it can be helped."""
    exact = n * shares
    sizes = np.floor(exact).astype(np.int64)
    sizes[np.argsort(sizes - exact, kind="stable")[: n - sizes.sum()]] += 1
    while n >= len(shares) and (sizes == 0).any():
        sizes[np.argmin(sizes)] += 1
        sizes[np.argmax(sizes)] -= 1
    return sizes
