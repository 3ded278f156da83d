"""Rows with identical features: which they are, and whether they are copies or only what few
categories must give.

In: typed features and their row hashes. Out: `Copies`. Copies of one row in development and
hold-out would let a model remember what it should predict, so that a random split keeps them
together; where the columns allow no more combinations than there are rows, repetition says nothing
and rows are split one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_MIN_DIFFERENT = 30  # fewer different rows can't be divided among parts and folds


@dataclass(frozen=True, eq=False)
class Copies:
    """Identical rows of a table.

    Attributes
    ----------
    units : ndarray, shape (n,)
        int64, equal for rows with identical features, numbered by first appearance.
    together : bool
        True if rows of a unit are to stay in one part and fold.
    """

    units: np.ndarray
    together: bool

    @property
    def repeats(self) -> int:
        """Number of rows less the number of different rows."""
        return len(self.units) - self.different

    @property
    def different(self) -> int:
        """Number of different rows."""
        return int(self.units.max()) + 1


def find_copies(X: pd.DataFrame, row_hashes: np.ndarray) -> Copies:
    """Units of identical rows; `row_hashes` is uint64, shape (n,), of all columns of `X`."""
    units = pd.factorize(row_hashes)[0].astype(np.int64)
    copies = Copies(units, together=True)
    if copies.repeats and (copies.different < _MIN_DIFFERENT or _combinations(X, len(X)) <= len(X)):
        return Copies(units, together=False)
    return copies


def copies_notes(copies: Copies) -> list[str]:
    """What to say about repeated rows of a random split."""
    if not copies.repeats:
        return []
    how = (
        "kept in one part"
        if copies.together
        else "divided one by one, as the columns allow few combinations"
    )
    return [f"{copies.repeats} rows repeat the features of another row: {how}"]


def conflicting_rows(units: np.ndarray, y: np.ndarray) -> int:
    """Number of rows in units whose rows have different targets."""
    ordered = np.lexsort((y, units))
    same_unit = np.diff(units[ordered]) == 0
    differs = same_unit & (np.diff(y[ordered]) != 0)
    return int(np.isin(units, units[ordered][1:][differs]).sum())


def _combinations(X: pd.DataFrame, enough: int) -> int:
    """How many different rows the columns' values allow, missing being one; counting ends above
    `enough`.
    """
    count = 1
    for _, column in X.items():
        count *= column.nunique(dropna=False)
        if count > enough:
            break
    return count
