"""Rows that a candidate cannot expect: to tell code that does what was asked from code that only
does it on these data.

Made of the development and hold-out features: other sizes, drawn with replacement, numbers shaken
by a tenth of their spread, a tenth of the cells missing, targets of the drawn rows. Both candidates
see the same rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from marl_llm.sandbox import Fold
from marl_llm.tasks import Task
from marl_llm.tasks.splits.learnable import ROWS_TO_LEARN

_MOST_ROWS = 2000
_SHARES = ((0.7, 0.6), (0.45, 0.9))
"""Training and validation rows of each fold, as shares of the development and of the hold-out part.
"""


def unexpected_folds(task: Task, n_classes: int | None, seed: int) -> list[Fold]:
    """Folds of unexpected rows; the same ones for the same task and seed.

    Parameters
    ----------
    task : Task
    n_classes : int or None
        None for regression.
    seed : int
    """
    rng = np.random.default_rng([seed, int(task.key, 16) % (1 << 32)])
    folds = []
    for train_share, valid_share in _SHARES:
        part = task.development
        train = rng.integers(0, len(part), _size(len(part), train_share))
        if n_classes is not None:
            train = np.concatenate([train, _undrawn(part.y, train)])
        valid = rng.integers(0, len(task.holdout), _size(len(task.holdout), valid_share))
        X_train, X_valid = (
            _shaken(part.X.iloc[train], rng),
            _shaken(task.holdout.X.iloc[valid], rng),
        )
        folds.append(Fold.prepare(X_train, part.y[train], X_valid, n_classes=n_classes, seed=seed))
    return folds


def _undrawn(y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Rows of classes drawn fewer than three times, until they are (or all there are): without them
    neither candidate could be fitted, and that would say nothing.
    """
    seen = np.bincount(y[drawn], minlength=int(y.max()) + 1)
    lacking = [
        np.flatnonzero(y == c)[: ROWS_TO_LEARN - seen[c]]
        for c in np.unique(y)
        if seen[c] < ROWS_TO_LEARN
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *lacking])


def _size(rows: int, share: float) -> int:
    return max(2, min(_MOST_ROWS, int(share * rows)))


def _shaken(X: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    shaken: dict[str, pd.Series] = {}
    for name, column in X.reset_index(drop=True).items():
        values = column
        if pd.api.types.is_float_dtype(column):
            spread = float(np.nanstd(column)) if column.notna().any() else 0.0
            values = column + rng.normal(0, 0.1 * spread, len(column))
        shaken[str(name)] = values.mask(rng.random(len(column)) < 0.1)
    return pd.DataFrame(shaken)
