"""Two models fitted on overlapping training folds, for the corrected resampled t-test.

Both are linear (ridge; linear discriminant analysis for classes) and see common columns, one
informative column of their own and two useless ones. Equal weight of the two own columns in the
truth makes the models equally good, by symmetry, and yet each fold's fit errs in its own way. The
strength is the weight of the later model's column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calibration.setting import Goal, population
from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import default_metrics
from marl_llm.core.predictions import Predictions
from marl_llm.metrics.scores import Reference
from marl_llm.metrics.significance import Comparison, corrected_resampled_t

_COMMON = 4
_BEFORE = [*range(_COMMON), 4, 6, 7]
_AFTER = [*range(_COMMON), 5, 8, 9]
_COLUMNS = 10
_OWN_WEIGHT = 0.5  # of the own column of the model before
_LOG2_ROWS = 14
_ALSO_BY_TEN = ("binary, 50%", "regression")  # whose power is measured by 10 folds too
_TRAINING_SETS = 40  # over which a true gain is averaged


@dataclass(frozen=True)
class FoldSetting:
    """Comparisons by k-fold validation of n development rows.

    Attributes
    ----------
    name : str
    goal : Goal
    directions : tuple of tuple of float, shape (K - 1, _COMMON + 1)
        Per class after the first: weights of the common columns in its log-odds, and the sign of
        the own ones. One line for regression.
    offsets : tuple of float
        Of the log-odds of these classes; their balance.
    k : int
        Folds of one validation.
    repeats : int
        Validations, each with folds of its own.
    powered : bool
        Its power is measured too.
    """

    name: str
    goal: Goal
    directions: tuple[tuple[float, ...], ...]
    offsets: tuple[float, ...]
    k: int
    repeats: int = 1
    powered: bool = True
    test: str = "corrected resampled t"

    @property
    def n_classes(self) -> int:
        """Number of classes, 0 for regression."""
        return len(self.offsets) + 1 if self.goal.kind.is_classification else 0

    def draw(self, uniform: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Columns (n, _COLUMNS) and targets (n,) from uniform numbers (n, _COLUMNS + 1)."""
        from scipy.special import ndtri, softmax

        X = ndtri(uniform[:, 1:])
        directions = np.array(self.directions).T
        own = _OWN_WEIGHT * X[:, [4]] + strength * X[:, [5]]
        scores = X[:, :_COMMON] @ directions[:-1] + own * directions[-1] + np.array(self.offsets)
        if not self.n_classes:
            return X, scores[:, 0] + ndtri(uniform[:, 0])
        shares = np.cumsum(
            softmax(np.concatenate([np.zeros((len(X), 1)), scores], axis=1), axis=1), axis=1
        )
        return X, (uniform[:, :1] > shares[:, :-1]).sum(axis=1)

    def strength(self, gain: float, n: int) -> float:
        """Weight of the later model's column; the true gain is that of models trained on a fold's
        training rows.
        """
        from scipy.optimize import brentq

        if gain == 0:
            return _OWN_WEIGHT
        uniform = population(_COLUMNS + 1, _LOG2_ROWS)
        rng = np.random.default_rng(1)
        training = [rng.random((n - n // self.k, _COLUMNS + 1)) for _ in range(_TRAINING_SETS)]

        def excess(strength: float) -> float:
            X, y = self.draw(uniform, strength)
            reference = self.goal.reference(y, self.n_classes)
            fitted = (self.draw(part, strength) for part in training)
            return float(np.mean([self._gain(*part, X, y, reference) for part in fitted])) - gain

        return float(brentq(excess, _OWN_WEIGHT, 3.0, xtol=1e-3))  # pyright: ignore[reportArgumentType]

    def compare(
        self, rng: np.random.Generator, n: int, strength: float, level: float
    ) -> Comparison:
        """Draw n rows, fit both models on every fold, compare the folds' scores."""
        return corrected_resampled_t(
            self.differences(rng, n, strength), n - n // self.k, n // self.k, level=level
        )

    def differences(self, rng: np.random.Generator, n: int, strength: float) -> np.ndarray:
        """Score after minus score before, fold by fold, shape (repeats * k,)."""
        X, y = self.draw(rng.random((n, _COLUMNS + 1)), strength)
        reference = self.goal.reference(y, self.n_classes)
        rounds = (_stratified(y, self.k, rng) for _ in range(self.repeats))
        gains = [
            self._gain(X[fold != i], y[fold != i], X[fold == i], y[fold == i], reference)
            for fold in rounds
            for i in range(self.k)
        ]
        return np.array(gains)

    def _gain(
        self,
        X: np.ndarray,
        y: np.ndarray,
        X_test: np.ndarray,
        y_test: np.ndarray,
        reference: Reference,
    ) -> float:
        models = [
            _predict(X[:, columns], y, X_test[:, columns], self.n_classes)
            for columns in (_BEFORE, _AFTER)
        ]
        return self.goal.gain(y_test, models[0], models[1], reference)


def _stratified(y: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each row; every fold has its share of each class, or of each part of the range."""
    order = np.lexsort((rng.random(len(y)), y))
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % k
    return fold


def _predict(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, n_classes: int) -> Predictions:
    if n_classes:
        return _discriminant(X, y, X_test, n_classes)
    centre, level = X.mean(axis=0), y.mean()
    weights = np.linalg.solve(
        (X - centre).T @ (X - centre) + np.eye(X.shape[1]), (X - centre).T @ (y - level)
    )
    return Predictions((X_test - centre) @ weights + level)


def _discriminant(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, n_classes: int) -> Predictions:
    """Linear discriminant analysis; a class without rows keeps one imaginary row at the origin."""
    from scipy.special import softmax

    truth = np.eye(n_classes)[y]
    counts = np.maximum(truth.sum(axis=0), 1.0)
    means = truth.T @ X / counts[:, None]
    within = X - means[y]
    directions = np.linalg.solve(within.T @ within / len(X) + 1e-3 * np.eye(X.shape[1]), means.T)
    scores = X_test @ directions - (means.T * directions).sum(axis=0) / 2 + np.log(counts)
    proba = softmax(scores, axis=1)
    return Predictions(proba.argmax(axis=1), proba)


def fold_settings() -> tuple[FoldSetting, ...]:
    """All settings of the corrected resampled t-test, by 3 and by 10 folds."""
    default = {kind: Goal(kind, default_metrics(kind)) for kind in Kind}
    one, other = (1.0, 0.8, -0.6, 0.4, 1.0), (-0.5, 1.0, 0.7, 0.2, -1.0)
    shapes = (
        ("binary, 50%", Kind.binary, (one,), (0.0,)),
        ("binary, 5%", Kind.binary, (one,), (-3.8,)),
        ("3 classes", Kind.multiclass, (one, other), (-0.5, -1.0)),
        ("regression", Kind.regression, (one,), (0.0,)),
    )
    once = tuple(
        FoldSetting(
            f"{name}, {k} folds",
            default[kind],
            directions,
            offsets,
            k,
            powered=k == 3 or name in _ALSO_BY_TEN,
        )
        for k in (3, 10)
        for name, kind, directions, offsets in shapes
    )
    repeated = (
        replace(setting, name=f"{setting.name} x 5", repeats=5, powered=False)
        for setting in once
        if setting.name in ("binary, 50%, 3 folds", "regression, 3 folds")
    )
    return (*once, *repeated)
