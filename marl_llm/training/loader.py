"""Rows and batches in the shape that transformers' loop asks for. No TRL."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import DataLoader, Dataset

from marl_llm.training.batching import StepBatches
from marl_llm.training.data import ReplayRow


class Rows(Dataset[ReplayRow]):
    """Rows as a loader takes them."""

    def __init__(self, rows: Sequence[ReplayRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> ReplayRow:
        return self._rows[number]


class EpochLoader(DataLoader):
    """Tells its batches which epoch begins, as transformers.Trainer expects."""

    def set_epoch(self, epoch: int) -> None:
        """Epoch `epoch` begins."""
        batches = self.batch_sampler
        assert isinstance(batches, StepBatches)
        batches.set_epoch(epoch)
