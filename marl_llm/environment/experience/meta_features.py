"""Meta-features: a data set as a short vector of numbers, so that one can say which of two is more
like a third.

In: a task's card, hence development rows only. Out: a vector in the order of `META_FEATURES`, and
distances between such vectors. Scales are fixed and not estimated from the data sets at hand: the
distance between two data sets does not change when a third one comes along.
"""

from __future__ import annotations

import math

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.environment.card import ColumnCard, TaskCard

_KINDS = (Kind.binary, Kind.multiclass, Kind.regression)
_SCALES: dict[str, float] = {
    "log10_rows": 0.75,
    "log10_columns": 0.5,
    "numeric": 0.35,
    "categorical": 0.35,
    "date": 0.2,
    "text": 0.2,
    "missing": 0.15,
    "log2_classes": 1.0,
    "imbalance": 0.3,
    "log1p_skew": 0.7,
    "mean_association": 0.15,
    "spread_of_associations": 0.12,
    "max_association": 0.25,
    "baseline_skill": 0.25,
}
"""By feature the difference that counts as 1, about a standard deviation between real tables."""
META_FEATURES = (*(f"is_{kind}" for kind in _KINDS), *_SCALES)
"""Names in the vector's order: the kind of target (one is 1); log10 of development rows and of
columns; shares of numeric, categorical, date and text columns; mean missing share; log2 of the
number of classes (0 for regression); imbalance of classes in [0, 1], 0 if all are as frequent; mean
of log(1 + |skew|) of numeric columns; mean, standard deviation and maximum of the columns'
association with the target, each in [0, 1]; skill of the baseline, NaN if unknown.
"""
_DIVISORS = np.array(list(_SCALES.values()))


def meta_features(card: TaskCard, baseline: float | None = None) -> np.ndarray:
    """The vector of a data set.

    Parameters
    ----------
    card : TaskCard
    baseline : float, optional
        Cross-validated score of the simple model that episodes start from, skill: a landmark of how
        hard the task is.

    Returns
    -------
    ndarray, float64, shape (len(META_FEATURES),)
        Finite but for the landmark, which is NaN where it is not given.
    """
    columns, associations = card.columns, [c.association for c in card.columns] or [0.0]
    numbers = [c for c in columns if c.kind == "numeric"]
    values = [
        *(float(card.kind is kind) for kind in _KINDS),
        math.log10(max(1, card.rows)),
        math.log10(max(1, len(columns))),
        *(_share(columns, kind) for kind in ("numeric", "categorical", "date", "text")),
        _mean([c.missing for c in columns]),
        math.log2(max(1, len(card.class_shares))),
        _imbalance(card.class_shares),
        _mean([math.log1p(abs(c.skew)) for c in numbers]),
        _mean(associations),
        float(np.std(associations)),
        max(associations),
        math.nan if baseline is None else baseline,
    ]
    return np.array(values)


def distances(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Root mean square of the scaled differences over the features that both know; infinite for
    another kind of target.

    Parameters
    ----------
    one : ndarray, shape (features,)
    others : ndarray, shape (n, features)

    Returns
    -------
    ndarray, shape (n,)
        0 for equal vectors; symmetric.
    """
    kinds = len(_KINDS)
    squares = ((others[:, kinds:] - one[kinds:]) / _DIVISORS) ** 2
    known = np.isfinite(squares)
    found = np.sqrt(np.where(known, squares, 0.0).sum(1) / np.maximum(known.sum(1), 1))
    return np.where((others[:, :kinds] == one[:kinds]).all(1), found, np.inf)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _share(columns: tuple[ColumnCard, ...], kind: str) -> float:
    return _mean([float(c.kind == kind) for c in columns])


def _imbalance(shares: tuple[float, ...]) -> float:
    """One minus the entropy of the classes over its largest value."""
    if len(shares) < 2:
        return 0.0
    entropy = -sum(share * math.log(share) for share in shares if share > 0)
    return max(0.0, 1.0 - entropy / math.log(len(shares)))
