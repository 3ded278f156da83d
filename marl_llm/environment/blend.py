"""Which of several models to blend, how much of each, and how to decide for a label: from
predictions alone.

Greedy selection with replacement (Caruana et al. 2004, Ensemble selection from libraries of
models): begin with the best model, add in each round the one that makes the mean better most, and
keep the best of all rounds. The decision rule for labels, `argmax p / prior ** power`, is chosen
last on the same rows. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from marl_llm.core.predictions import Predictions

Score = Callable[[Predictions], float]
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST_MEMBERS = 6
"""Different models in one blend: each is fitted again in the end."""
_ROUNDS = 20
_TIE = 1e-9


@dataclass(frozen=True)
class Blend:
    """What greedy selection chose.

    Attributes
    ----------
    weights : dict of position to int
        How often each model of the pool was taken.
    power : float
        Of the prior in the decision rule; 0 for regression, and where the most probable class does
        as well.
    score : float
        On the rows it was chosen on: optimistic.
    """

    weights: dict[int, int]
    power: float
    score: float


def choose_blend(
    pool: Sequence[Predictions], priors: np.ndarray | None, score: Score, most: int = MOST_MEMBERS
) -> Blend:
    """Choose members, weights and decision rule.

    Parameters
    ----------
    pool : sequence of Predictions
        Of the same n rows, at least one; with probabilities where the target is a class.
    priors : ndarray or None, shape (classes,)
        Class shares of the training rows; None for regression.
    score : callable
        Predictions of the n rows to a score, larger is better.
    most : int
        Different members at most; 1 chooses the best single model.
    """
    values = [_values(one) for one in pool]

    def scored(weights: dict[int, int]) -> float:
        return score(as_predictions(_mean(values, weights), priors, 0.0))

    singles = [scored({i: 1}) for i in range(len(pool))]
    weights = {int(np.argmax(singles)): 1}
    best = Blend(dict(weights), 0.0, max(singles))
    for _ in range(_ROUNDS if most > 1 else 0):
        open_to = range(len(pool)) if len(weights) < most else sorted(weights)
        trials = {i: scored({**weights, i: weights.get(i, 0) + 1}) for i in open_to}
        chosen = max(trials, key=lambda i: trials[i])
        weights[chosen] = weights.get(chosen, 0) + 1
        if trials[chosen] > best.score + _TIE:
            best = Blend(dict(weights), 0.0, trials[chosen])
    return _with_rule(best, _mean(values, best.weights), priors, score)


def _with_rule(blend: Blend, mean: np.ndarray, priors: np.ndarray | None, score: Score) -> Blend:
    if priors is None:
        return blend
    scores = {power: score(as_predictions(mean, priors, power)) for power in POWERS}
    power = max(POWERS, key=lambda p: (round(scores[p] / _TIE) * _TIE, -p))
    return Blend(blend.weights, power, scores[power])


def as_predictions(mean: np.ndarray, priors: np.ndarray | None, power: float) -> Predictions:
    """Predictions of a blend: from mean probabilities (n, classes) and class shares, or from mean
    values (n,).
    """
    if priors is None:
        return Predictions(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        favoured = np.nan_to_num(mean / priors**power, nan=0.0, posinf=0.0)
    return Predictions(np.argmax(favoured, axis=1).astype(np.int64), mean)


def blended(
    parts: Sequence[Predictions], weights: Sequence[int], priors: np.ndarray | None, power: float
) -> Predictions:
    """The predictions of a fitted blend, bit for bit: the same mean over the same members."""
    mean = np.average(np.stack([_values(part) for part in parts]), axis=0, weights=list(weights))
    return as_predictions(mean, priors, power)


def _values(predictions: Predictions) -> np.ndarray:
    return predictions.labels if predictions.proba is None else predictions.proba


def _mean(values: Sequence[np.ndarray], weights: dict[int, int]) -> np.ndarray:
    total = sum(weights.values())
    mean = np.zeros_like(values[0], dtype=np.float64)
    for i, weight in weights.items():
        mean += values[i] * (weight / total)
    return mean
