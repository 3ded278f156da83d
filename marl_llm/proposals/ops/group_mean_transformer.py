"""The transformer of `group_mean`, which scikit-learn does not have.

The prelude embeds its source, so a delivered solution needs nothing of this package, and the
compiler uses the object. It knows numpy, pandas and scikit-learn's base classes only.
"""

# pyright: basic
# Functions that are embedded in generated code carry no annotations: agents read that code.

from __future__ import annotations

from sklearn.base import BaseEstimator, TransformerMixin

# ---- the prelude embeds what follows ----


class GroupMean(TransformerMixin, BaseEstimator):
    """Mean of numbers within each value of the first column, as learned from the training rows; of
    all rows for a new value.
    """

    def fit(self, X, y=None):
        """Learn the means; X is a frame, its first column a category, the others numbers."""
        numbers = X.iloc[:, 1:].astype(float)
        self.means_ = numbers.groupby(X.iloc[:, 0].astype(str)).mean()
        self.overall_ = numbers.mean().fillna(0.0)
        return self

    def transform(self, X):
        """The means of each row's group, shape (n, number of numbers)."""
        found = self.means_.reindex(X.iloc[:, 0].astype(str))
        return found.fillna(self.overall_).to_numpy()
