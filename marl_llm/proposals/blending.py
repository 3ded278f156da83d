"""Blends of solutions, as the prelude of generated code defines them: weighted means of what fitted
members predict.

The prelude embeds the source below where a solution names it, and the compiler uses the objects:
one definition for both. Every member is fitted as it would be alone, from the random state that the
first one found, so a blend predicts exactly the weighted mean of what its members predict by
themselves (`environment/compose.py` relies on it).
"""

# pyright: basic
# Functions that are embedded in generated code carry no annotations: agents read that code.

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone

# ---- the prelude embeds what follows ----


class Blend(BaseEstimator):
    """Weighted mean of the predictions of several pipelines."""

    def __init__(self, members, weights=None):
        self.members = members
        self.weights = weights

    def fit(self, X, y):
        """Fit each member, a list of (name, pipeline), from the same random state."""
        state = np.random.get_state()
        self.members_ = []
        for _, member in self.members:
            np.random.set_state(state)
            self.members_.append(clone(member).fit(X, y))
        return self

    def _mean(self, predictions):
        return np.average(np.stack(predictions), axis=0, weights=self.weights)


class BlendClassifier(ClassifierMixin, Blend):
    """Mean class probabilities; the label is the class with the largest probability / prior **
    power. A power above 0 favours rare classes, 0 is the most probable class.
    """

    def __init__(self, members, weights=None, power=0.0):
        super().__init__(members, weights)
        self.power = power

    def fit(self, X, y):
        """Fit each member, and learn the class shares of the training rows."""
        self.classes_, counts = np.unique(y, return_counts=True)
        self.priors_ = counts / counts.sum()
        return super().fit(X, y)

    def predict_proba(self, X):
        """Mean probabilities, shape (n, classes)."""
        return self._mean([member.predict_proba(X) for member in self.members_])

    def predict(self, X):
        """Labels, shape (n,)."""
        return self.classes_[np.argmax(self.predict_proba(X) / self.priors_**self.power, axis=1)]


class BlendRegressor(RegressorMixin, Blend):
    """Mean predicted value."""

    def predict(self, X):
        """Values, shape (n,)."""
        return self._mean([member.predict(X) for member in self.members_])
