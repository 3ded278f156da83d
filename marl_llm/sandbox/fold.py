"""One fold of a task as the sandbox may see it: training rows with labels, validation rows without.

Rows are put into a secret order, because position in a sorted file is a label. The order is drawn
from a key made of the seed and of all rows in their original order: it is the same in every run,
and whoever could compute the key would already have to know the order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd

from marl_llm.core.predictions import Predictions
from marl_llm.sandbox.encode import Block, encode

_PROBED_SHARE = 4  # one row in four


class Fold:
    """Rows of one fold, encoded. Make it with `prepare`; it can be evaluated many times and from
    several threads.

    Attributes
    ----------
    train_order : ndarray, shape (n_train,)
        Row i of what the candidate is fitted on is row `train_order[i]` of `X_train`.
    valid_order : ndarray, shape (n_valid,)
        The same for the rows it predicts.
    probe_rows : ndarray
        Positions, in the secret order, of the rows that the consistency probe repeats.
    n_classes : int or None
        None for regression.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        train_order: np.ndarray,
        valid_order: np.ndarray,
        probe_rows: np.ndarray,
        n_classes: int | None,
    ) -> None:
        self._blocks: tuple[Block, ...] = tuple(blocks)
        self.train_order = train_order
        self.valid_order = valid_order
        self.probe_rows = probe_rows
        self.n_classes = n_classes

    @classmethod
    def prepare(
        cls,
        X_train: pd.DataFrame,
        y_train: np.ndarray,
        X_valid: pd.DataFrame,
        *,
        n_classes: int | None,
        seed: int,
    ) -> Fold:
        """Permute and encode the rows of a fold.

        Parameters
        ----------
        X_train, X_valid : DataFrame, shapes (n_train, d) and (n_valid, d)
            float64 columns and dtype object columns of str with nan for missing.
        y_train : ndarray, shape (n_train,)
            Class index 0..n_classes-1, or float64 for regression.
        n_classes : int or None
            None for regression.
        seed : int
            Part of the key of the secret row order.

        Raises
        ------
        ValueError
            On empty parts, unequal lengths or columns, or a column of another type.
        """
        labels = np.asarray(y_train, dtype=np.float64 if n_classes is None else np.int64)
        _check(X_train, labels, X_valid)
        rng = np.random.default_rng(_key(seed, X_train, labels, X_valid))
        train_order, valid_order = rng.permutation(len(X_train)), rng.permutation(len(X_valid))
        probe_rows = rng.permutation(len(X_valid))[: max(1, len(X_valid) // _PROBED_SHARE)]
        blocks = (
            encode(X_train.iloc[train_order], labels[train_order]),
            encode(X_valid.iloc[valid_order]),
            encode(X_valid.iloc[valid_order[probe_rows]]),
        )
        return cls(blocks, train_order, valid_order, probe_rows, n_classes)

    @property
    def train(self) -> Block:
        """Training rows with labels, in the secret order."""
        return self._block(0)

    @property
    def valid(self) -> Block:
        """Validation rows in the secret order."""
        return self._block(1)

    @property
    def probe(self) -> Block:
        """The rows that the consistency probe repeats."""
        return self._block(2)

    def restore(self, predictions: Predictions) -> Predictions:
        """Predictions for the secret order, put back into the order of `X_valid`."""
        labels = np.empty_like(predictions.labels)
        labels[self.valid_order] = predictions.labels
        if predictions.proba is None:
            return Predictions(labels)
        proba = np.empty_like(predictions.proba)
        proba[self.valid_order] = predictions.proba
        return Predictions(labels, proba)

    def close(self) -> None:
        """Let go of the rows. The fold cannot be evaluated any more."""
        self._blocks = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _block(self, index: int) -> Block:
        if not self._blocks:
            raise ValueError("this fold is closed")
        return self._blocks[index]


def _check(train: pd.DataFrame, labels: np.ndarray, valid: pd.DataFrame) -> None:
    if not len(train) or not len(valid):
        raise ValueError("a fold needs at least one training row and one validation row")
    if labels.shape != (len(train),):
        raise ValueError(f"y_train has shape {labels.shape}, but X_train has {len(train)} rows")
    if list(train.columns) != list(valid.columns) or list(train.dtypes) != list(valid.dtypes):
        raise ValueError("X_train and X_valid must have the same columns of the same types")


def _key(seed: int, train: pd.DataFrame, labels: np.ndarray, valid: pd.DataFrame) -> int:
    digest = hashlib.blake2b(str(seed).encode(), digest_size=16)
    for block in (encode(train, labels), encode(valid)):
        digest.update(block.content)
    return int.from_bytes(digest.digest(), "little")
