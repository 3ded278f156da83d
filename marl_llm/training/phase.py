"""What a training phase goes by, whatever the algorithm: the model it starts from, its settings and its seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.training.config import TrainConfig

if TYPE_CHECKING:
    from marl_llm.training.history import OnStep


@dataclass(frozen=True)
class Phase:
    """One training phase of one role.

    Attributes
    ----------
    base_dir, adapter_dir : Path
        The base model and the adapter to go on from; the adapter's own note of its base is not used for loading.
    adapter_sha256 : str
        Fingerprint of the adapter, as logged with the rows it sampled.
    config : TrainConfig
    workdir : Path
        For the trainer's files; nothing in it is needed afterwards.
    seed : int
        Of the order of rows and of the gate's sample.
    on_step : callable, optional
        Called after each optimizer step with (step from 1, steps, loss).
    """

    base_dir: Path
    adapter_dir: Path
    adapter_sha256: str
    config: TrainConfig
    workdir: Path
    seed: int
    on_step: OnStep | None = None
