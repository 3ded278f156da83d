"""Imitation: rows go in, the adapter learns to say their completions. The replay trainer on token ids as they were
sampled; nothing is tokenised again, and the prompt that several rows share is computed once.

Which rows (the best of each group, or all) is `selection`'s business. The loss is the mean negative log-likelihood of
all completion tokens of an optimizer step: CISPO's, -A log p averaged over tokens, at advantage one and ratio one.
Prompts are context only.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from marl_llm.training.config import TrainConfig
from marl_llm.training.data import ReplayRow
from marl_llm.training.loading import precision_of, require_finite
from marl_llm.training.phase import Phase
from marl_llm.training.policy_phase import build_trainer, speed
from marl_llm.training.selection import check_fingerprints

_NAMES = ("step", "loss", "learning_rate", "grad_norm", "entropy")


def train_imitation(rows: Sequence[ReplayRow], phase: Phase) -> tuple[Any, dict[str, Any]]:
    """Train the adapter on the rows' completions; returns the PEFT model (adapter "default") and the metrics.

    Metrics as in `train_role.train_role`; of the integrity checks only the adapter's fingerprint, and
    with `selection: all` not even that, is required.

    Raises
    ------
    IntegrityError
        All rows are of another adapter, and `selection` and `imitate` do not ask for such.
    RunFailed
        The loss stopped being a number.
    """
    config, seed = phase.config, phase.seed
    if config.own_rows_only:
        check_fingerprints([row.adapter_sha256 for row in rows], phase.adapter_sha256)
    liked = [_wanted(row) for row in rows]
    trainer = build_trainer(
        liked, phase.base_dir, phase.adapter_dir, _likelihood(config), phase.workdir, seed, phase.on_step,
        old_logps="current",
    )  # fmt: skip
    from marl_llm.training.history import logged_steps
    from marl_llm.training.resume import phase_fingerprint, train_on

    started = time.monotonic()
    from_step = train_on(trainer, phase.workdir, phase_fingerprint(rows, config, phase.adapter_sha256, seed))
    seconds = time.monotonic() - started
    logged = logged_steps(trainer)
    require_finite(logged)
    return trainer.accelerator.unwrap_model(trainer.model), {
        "resumed_from_step": from_step,
        "tokens": sum(row.tokens for row in rows),
        "completion_tokens": sum(len(row.completion_ids) for row in rows),
        "training_seconds": seconds,
        **speed(trainer.cells, seconds),
        "steps": len(logged),
        "precision": precision_of(config, phase.base_dir),
        "loss": [entry["loss"] for entry in logged],
        "history": [{name: entry[name] for name in _NAMES if name in entry} for entry in logged],
    }


def _likelihood(config: TrainConfig) -> TrainConfig:
    """The settings under which the policy loss is the negative log-likelihood."""
    loss = {"loss_type": "cispo", "epsilon_high": 1.0, "importance_sampling_level": "token"}
    return config.model_copy(update=loss | {"beta": 0.0, "kl_limit": None, "temperature": 1.0})


def _wanted(row: ReplayRow) -> ReplayRow:
    """The row with advantage one on every token."""
    liked = copy.copy(row)
    liked.advantage = np.ones(len(row.completion_ids), np.float32)
    return liked
