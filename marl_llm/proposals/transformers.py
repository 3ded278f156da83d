"""The few transformers that scikit-learn does not have, as the prelude of generated code defines them.

The prelude embeds the source of these very functions, so a delivered solution needs nothing of this package, and the
compiler uses the objects: one definition for both. They know numpy, pandas and scikit-learn's base classes only.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

# ---- the prelude embeds what follows ----


def signed_log(X):
    """sign(x) log(1 + |x|), elementwise."""
    return np.sign(X) * np.log1p(np.abs(X))


def ratio(X):
    """First column over the second, 0 where the second is 0; shape (n, 1)."""
    top, bottom = np.asarray(X, dtype=float).T
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)[:, None]


def difference(X):
    """First column minus the second; shape (n, 1)."""
    first, second = np.asarray(X, dtype=float).T
    return (first - second)[:, None]


def date_parts(X):
    """Year, month, day, weekday (Monday 0), day of the year and hour of days since 1970-01-01; shape (n, 6 columns)."""
    days = np.clip(np.asarray(X, dtype=float), -1e6, 1e6)
    moment = np.floor(days).astype("int64").astype("datetime64[D]")
    year, month = moment.astype("datetime64[Y]"), moment.astype("datetime64[M]")
    since = [year.astype(int) + 1970, month.astype(int) % 12 + 1, (moment - month).astype(int) + 1]
    since += [(np.floor(days) + 3) % 7, (moment - year).astype(int) + 1, np.round(24 * (days - np.floor(days)), 6)]
    return np.hstack([np.asarray(part, dtype=float) for part in since])


def fill_text(column):
    """Missing text as empty text."""
    return column.fillna("")


def dense(X):
    """A sparse matrix as an array."""
    return X.toarray()


class GroupMean(TransformerMixin, BaseEstimator):
    """Mean of numbers within each value of the first column, as learned from the training rows; of all rows for a
    new value."""

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
