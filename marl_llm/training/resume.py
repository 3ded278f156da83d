"""Going on in the middle of a phase: a trainer that may have been killed before goes in, it comes
out trained.

Every so many optimizer steps transformers writes weights, optimizer, schedule and random states
into a directory of its own. A checkpoint counts once it is marked as complete, and only for the
very phase that wrote it: the mark carries a fingerprint of rows, settings, adapter and seed. What
other phases left is removed, and what this one left is removed at its end.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from pydantic import BaseModel
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

MARK = "complete.json"
_PREFIX = "checkpoint-"


S = TypeVar("S")


def _on_numbered_cpu(storage: S, location: str) -> S | None:
    return storage if location.startswith("cpu:") else None


# accelerate numbers the CPU of several processes; torch.load knows the place by "cpu" alone.
torch.serialization.register_package(100, lambda storage: None, _on_numbered_cpu)


class Sample(Protocol):
    """What a phase learns from: a row, or a pair of completions."""

    def arrays(self) -> tuple[np.ndarray, ...]:
        """All that the weights follow from."""
        ...


def phase_fingerprint(
    samples: Sequence[Sample], config: BaseModel, adapter_sha256: str, seed: int
) -> str:
    """SHA-256, in hex, of all that the weights at the end of a phase follow from."""
    digest = hashlib.sha256(f"{config.model_dump_json()} {adapter_sha256} {seed}".encode())
    for sample in samples:
        for array in sample.arrays():
            digest.update(np.int64(len(array)).tobytes() + array.tobytes())
    return digest.hexdigest()


def last_checkpoint(workdir: Path, fingerprint: str) -> Path | None:
    """The latest complete checkpoint of this phase below `workdir`."""
    found = [path for path in _checkpoints(workdir) if _mark(path) == fingerprint]
    return max(found, key=_step, default=None)


def train_on(trainer: Trainer, workdir: Path, fingerprint: str) -> int:
    """Train, from the phase's last checkpoint if there is one; returns the optimizer step it went
    on from, else 0.

    Parameters
    ----------
    trainer : transformers.Trainer
        With `output_dir` = `workdir` and the arguments of `loading.saving`.
    workdir : Path
    fingerprint : str
        As from `phase_fingerprint`.
    """
    found = last_checkpoint(workdir, fingerprint)
    first = trainer.is_world_process_zero()
    trainer.accelerator.wait_for_everyone()
    if first:
        _remove(path for path in _checkpoints(workdir) if path != found)
    trainer.accelerator.wait_for_everyone()
    trainer.add_callback(_Marks(Path(workdir), fingerprint))
    trainer.train(resume_from_checkpoint=None if found is None else str(found))
    if first:
        _remove(_checkpoints(workdir))
    return 0 if found is None else _step(found)


class _Marks(TrainerCallback):
    """Marks each checkpoint after its last file was written."""

    def __init__(self, workdir: Path, fingerprint: str) -> None:
        self._workdir, self._fingerprint = workdir, fingerprint

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if state.is_world_process_zero:
            directory = self._workdir / f"{_PREFIX}{state.global_step}"
            temporary = directory / f".{MARK}"
            temporary.write_text(json.dumps({"fingerprint": self._fingerprint}), encoding="utf-8")
            temporary.replace(directory / MARK)


def _checkpoints(workdir: Path) -> list[Path]:
    return [
        path
        for path in Path(workdir).glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdigit()
    ]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def _mark(checkpoint: Path) -> str | None:
    path = checkpoint / MARK
    return json.loads(path.read_text(encoding="utf-8"))["fingerprint"] if path.is_file() else None


def _remove(checkpoints: Iterable[Path]) -> None:
    for path in checkpoints:
        (path / MARK).unlink(
            missing_ok=True
        )  # first: what is left by a kill in between does not count
        shutil.rmtree(path)
