"""Given labels and predictions, and a model that hands them to scikit-learn's own scorers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions


class ReadyClassifier(ClassifierMixin, BaseEstimator):
    """Says what it is given; as fitted as scikit-learn wants it."""

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions
        assert predictions.proba is not None
        self.classes_ = np.arange(predictions.proba.shape[1])

    def fit(self, X: Any, y: Any) -> ReadyClassifier:
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.predictions.labels

    def predict_proba(self, X: Any) -> np.ndarray:
        assert self.predictions.proba is not None
        return self.predictions.proba


class ReadyRegressor(RegressorMixin, BaseEstimator):
    """The same for numbers."""

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions
        self.fitted_ = True

    def fit(self, X: Any, y: Any) -> ReadyRegressor:
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.predictions.labels


def by_scikit_learn(
    name: str, y: np.ndarray, predictions: Predictions, weights: np.ndarray | None = None
) -> float:
    """What scikit-learn's scorer of that name says of these predictions."""
    ready = (
        ReadyRegressor(predictions) if predictions.proba is None else ReadyClassifier(predictions)
    )
    options = {} if weights is None else {"sample_weight": weights}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(get_scorer(name)(ready, np.zeros((len(y), 1)), y, **options))


def classified(
    seed: int, n: int, n_classes: int, sharpness: float = 1.0
) -> tuple[np.ndarray, Predictions]:
    """Labels with every class, and predictions that know something; probabilities are rounded so
    that ties occur.

    The predicted class is not always the most probable one, as after a tuned threshold.
    """
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    logits = rng.normal(size=(n, n_classes)) + sharpness * np.eye(n_classes)[y]
    proba = np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 2) + 1e-3
    proba /= proba.sum(axis=1, keepdims=True)
    labels = np.where(rng.random(n) < 0.1, rng.integers(0, n_classes, n), proba.argmax(axis=1))
    return y, Predictions(labels, proba)


def measured(seed: int, n: int, noise: float = 0.5) -> tuple[np.ndarray, Predictions]:
    """Positive targets of a skewed distribution, and positive predictions that know something."""
    rng = np.random.default_rng(seed)
    y = rng.lognormal(size=n) * 5
    return y, Predictions(y * np.exp(noise * rng.normal(size=n)))


def given(kind: Kind, seed: int, n: int, knows: float = 1.0) -> tuple[np.ndarray, Predictions]:
    """Targets and predictions of a kind: two or three classes, or positive numbers."""
    if kind is Kind.regression:
        return measured(seed, n, 1 / (1 + knows))
    return classified(seed, n, 2 if kind is Kind.binary else 3, knows)
