"""One process of a distributed phase, or the only one: `python one_of_two.py JOB.json`;
torch.distributed's variables say which. Writes the first step's gradient, the scores and, after the
phase, the weights into an .npz file per process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.algorithms import GRPO
from marl_llm.training.data import replay_rows
from marl_llm.training.phase import Phase


def first_gradient(trainer: Any) -> dict[str, np.ndarray]:
    """Gradients of the first optimizer step, as transformers.Trainer computes them, and its
    loss.
    """
    model = trainer.accelerator.prepare(trainer.model)
    trainer.annotate()
    batches = trainer.args.gradient_accumulation_steps
    samples, _ = trainer.get_batch_samples(
        iter(trainer.get_train_dataloader()), batches, trainer.args.device
    )
    trainer.current_gradient_accumulation_steps = len(samples)
    loss = 0.0
    for number, batch in enumerate(samples, start=1):
        if number < len(samples):
            with trainer.accelerator.no_sync(model):
                loss += trainer.training_step(model, batch)
        else:
            loss += trainer.training_step(model, batch)
    found = {
        name: weight.grad.numpy()
        for name, weight in trainer.model.named_parameters()
        if weight.grad is not None
    }
    mean = trainer.accelerator.reduce(loss, reduction="mean").numpy()
    ratios = {
        name: np.array(values)
        for name, values in trainer._metrics["train"].items()
        if name != "step_time"
    }
    return {**found, "loss": mean, **{f"metric {name}": values for name, values in ratios.items()}}


def main(path: Path) -> None:
    """Run one job: for each configuration the first gradient, then one whole phase."""
    job = json.loads(path.read_text())
    rows = replay_rows(pd.DataFrame(pd.read_pickle(job["rows"])))[0]
    base, adapter, work = Path(job["base_dir"]), Path(job["adapter_dir"]), path.parent / "work"
    found: dict[str, np.ndarray] = {}
    phase = Phase(base, adapter, job["sha256"], work, seed=0)
    for name, settings in job["configs"].items():
        trainer = GRPO(**settings).trainer(rows, phase)
        found |= {f"{name}/{key}": value for key, value in first_gradient(trainer).items()}
        found[f"{name}/scores"] = np.concatenate(trainer.score(rows))
    model, metrics = GRPO(**job["phase"]).train(rows, phase)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            found[f"phase/{name}"] = weight.detach().numpy()
    found["phase/history"] = pd.DataFrame(metrics["history"]).to_numpy()
    np.savez(path.parent / f"found-{os.environ.get('RANK', 'alone')}.npz", **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
