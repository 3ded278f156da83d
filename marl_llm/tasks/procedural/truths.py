"""How the target of a procedural task depends on its columns.

In: standardised signal columns (n, p) and a random generator. Out: a score (n,) with mean 0 and
variance 1, or, for clusters and blobs, columns and classes together. Each kind of truth is there
because another family of models, or another preparation of the columns, is right for it. Noise is
added in `procedural.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Truth = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def standardised(score: np.ndarray) -> np.ndarray:
    """Mean 0, variance 1; outliers beyond 4 standard deviations are pulled in, lest one row be the
    whole signal.
    """
    spread = score.std()
    return np.clip((score - score.mean()) / (spread if spread > 0 else 1.0), -4, 4)


def linear(S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weighted sum of all columns."""
    return standardised(S @ (rng.choice([-1, 1], S.shape[1]) * rng.uniform(0.4, 1.2, S.shape[1])))


def products(S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Products of pairs of columns on top of a weak linear part: polynomial features make it
    linear.
    """
    p = S.shape[1]
    score = 0.5 * linear(S, rng)
    for _ in range(max(1, p // 2)):
        a, b = rng.integers(0, p, 2)
        score += rng.choice([-1, 1]) * rng.uniform(0.6, 1.2) * S[:, a] * S[:, b]
    return standardised(score)


def steps(S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sum of a few rules, each true in a box of one to three columns: axis-parallel trees."""
    score = np.zeros(len(S))
    for _ in range(int(rng.integers(3, 9))):
        inside = np.ones(len(S), dtype=bool)
        for column in rng.choice(
            S.shape[1], size=min(int(rng.integers(1, 4)), S.shape[1]), replace=False
        ):
            inside &= (S[:, column] > rng.normal(0, 0.6)) == (rng.random() < 0.5)
        score += rng.normal() * inside
    return standardised(score)


def additive(S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sum of smooth curves of single columns."""
    curves: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
        np.abs,
        np.square,
        np.sin,
        np.tanh,
        lambda s: np.sin(2 * s),
    )
    parts = [
        rng.uniform(0.5, 1.2) * curves[int(rng.integers(len(curves)))](S[:, j] + rng.normal(0, 0.5))
        for j in range(S.shape[1])
    ]
    return standardised(np.sum(parts, axis=0))


def bumps(S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hills and hollows around random centres in all signal columns: near rows are alike, so
    neighbours know best.
    """
    n_centres = int(rng.integers(20, 60))
    centres = S[rng.choice(len(S), n_centres, replace=False)]
    squared = ((S[:, None, :] - centres[None]) ** 2).sum(axis=2)
    heights = rng.choice([-1, 1], n_centres) * rng.uniform(0.6, 1.4, n_centres)
    return standardised(np.exp(-squared / (2 * 0.35**2 * S.shape[1])) @ heights)


TRUTHS: dict[str, Truth] = {
    "linear": linear,
    "products": products,
    "steps": steps,
    "additive": additive,
    "bumps": bumps,
}


def clusters(
    n: int, p: int, priors: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Columns drawn class by class from Gaussians, independent within the class: naive Bayes.

    Returns
    -------
    Z : float64, shape (n, p)
    y : int64, shape (n,), in 0..len(priors)-1
    """
    K = len(priors)
    y = rng.choice(K, size=n, p=priors)
    distance = rng.uniform(0.1, 0.7)
    means = rng.normal(0, distance, (K, p))
    spreads = np.exp(rng.normal(0, rng.uniform(0.2, 0.6), (K, p)))
    return means[y] + spreads[y] * rng.normal(size=(n, p)), y


def blobs(
    n: int, p: int, n_classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Many tight groups of rows scattered in space, each with a class or a value of its own:
    nearest neighbours.

    Returns
    -------
    Z : float64, shape (n, p), columns of variance near 1
    given : int64 class index, or float64 value with mean 0 and variance 1 where `n_classes` is 0;
    shape (n,)
    """
    n_blobs = int(rng.integers(12, 31))
    centres = rng.normal(size=(n_blobs, p))
    blob = rng.integers(0, n_blobs, n)
    Z = centres[blob] + rng.uniform(0.3, 0.6) * rng.normal(size=(n, p))
    if n_classes:
        return Z, rng.permutation(np.arange(n_blobs) % n_classes)[blob]
    return Z, standardised(rng.normal(size=n_blobs)[blob])
