"""Folds of cross-validation that can hold every class: a fold whose training rows cannot teach a
small class is not asked about it.

In: folds, classes, and what keeps rows together. Out: the same folds with a few validation rows
moved or left out. Where no class is small they come back as they are.
"""

from __future__ import annotations

import numpy as np

from marl_llm.tasks.splits.splitting import Folds

ROWS_TO_LEARN = 3
"""Rows of a class that a fold's training part keeps, where there are so many: calibration and
stacking divide them once more by three, and estimators that expect consecutive class indices need
one.
"""


def learnable_folds(folds: Folds, y: np.ndarray, units: np.ndarray) -> Folds:
    """Folds of a random split: rows of a class that training lacks move there from validation, unit
    by unit.

    Parameters
    ----------
    folds : list of (train positions, validation positions)
    y : ndarray, shape (n,)
        int64 class index.
    units : ndarray, shape (n,)
        Rows of equal units stay together.

    Returns
    -------
    list of (ndarray, ndarray)
        Each training part has 3 rows of each class, or all if it has fewer; no validation part is
        emptied. Where that would leave one class to validate (two classes, one of them small), 1
        row instead of 3.
    """
    chosen = folds
    for rows in (ROWS_TO_LEARN, 1):
        chosen = [_with_small_classes(train, valid, y, units, rows) for train, valid in folds]
        if len(np.unique(y[np.concatenate([valid for _, valid in chosen])])) > 1:
            break
    return chosen


def known_folds(folds: Folds, y: np.ndarray) -> Folds:
    """Folds of groups or times, whose rows cannot move: validation leaves out classes that training
    lacks, unless nothing else were left.
    """
    known = [(train, valid[np.isin(y[valid], y[train])]) for train, valid in folds]
    return [
        (train, kept if len(kept) else valid)
        for (train, kept), (_, valid) in zip(known, folds, strict=True)
    ]


def _with_small_classes(
    train: np.ndarray, valid: np.ndarray, y: np.ndarray, units: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    wanted = np.minimum(np.bincount(y), rows)
    lacking = np.flatnonzero(np.bincount(y[train], minlength=len(wanted)) < wanted)
    for index in lacking:
        for unit in np.unique(units[valid[y[valid] == index]]):
            moved = units[valid] == unit
            if (y[train] == index).sum() >= wanted[index] or moved.all():
                break
            train, valid = np.sort(np.concatenate([train, valid[moved]])), valid[~moved]
    return train, valid
