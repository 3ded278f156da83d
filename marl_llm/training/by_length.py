"""Samples of about the same length in one batch, in an order that follows from the seed and the epoch alone.

transformers draws this order from the global random state, which a phase that was killed in the middle of an epoch
cannot get back.
"""

from __future__ import annotations

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class SeededByLength(LengthGroupedSampler):
    """Each epoch is another order; accelerate says which epoch it is.

    Parameters
    ----------
    lengths : list of int
        Tokens of each sample.
    batch_size : int
        Samples of one optimizer step.
    seed : int
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self._seed, self._random = seed, torch.Generator()
        super().__init__(batch_size, lengths=lengths, generator=self._random)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self._random.manual_seed(self._seed + epoch)
