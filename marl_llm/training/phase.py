"""What a training phase starts from and what it ends with, whatever the algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import pandas as pd

if TYPE_CHECKING:
    from peft import PeftModel

OnStep = Callable[[int, int, float], None]
"""Called after each optimizer step with the step's number from 1, the number of steps, the loss."""


@dataclass(frozen=True)
class Phase:
    """One training phase of one role.

    Attributes
    ----------
    base_dir, adapter_dir : Path
        The base model and the adapter to go on from; the adapter's own note of its base is not
        used for loading.
    adapter_sha256 : str
        Fingerprint of the adapter, as logged with the rows it sampled.
    workdir : Path
        For the trainer's files; nothing in it is needed afterwards.
    seed : int
        Of the order of rows and of the gate's sample.
    on_step : callable, optional
    values : Path, optional
        Parquet file for a critic's values before the phase; default: in `workdir`.
    """

    base_dir: Path
    adapter_dir: Path
    adapter_sha256: str
    workdir: Path
    seed: int
    on_step: OnStep | None = None
    values: Path | None = None


@dataclass(frozen=True, eq=False)
class Learned:
    """What came of a phase.

    Attributes
    ----------
    model : PeftModel or None
        Its adapter "default" is the result; None if no row was left to learn from.
    rows : int
        Logged rows learned from.
    dropped : dict of str to int
        How many were left out, by reason.
    metrics : dict
        Fit for JSON.
    """

    model: PeftModel | None
    rows: int
    dropped: dict[str, int]
    metrics: Mapping[str, object] = field(default_factory=dict)


class Learner(Protocol):
    """An algorithm as the engine sees it."""

    one_process: ClassVar[bool]

    @property
    def algorithm(self) -> str:
        """Its name, for messages and metrics."""
        ...

    def learn(self, frame: pd.DataFrame, phase: Phase) -> Learned:
        """Choose rows of the frame and train on them."""
        ...
