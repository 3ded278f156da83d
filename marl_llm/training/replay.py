"""One phase on logged rows, whatever its loss: a trainer is made, it runs, and its metrics come
out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from marl_llm.training.config import TrainConfig
from marl_llm.training.data import ReplayRow
from marl_llm.training.loading import (
    load_policy,
    precision_of,
    require_finite,
    trainer_arguments,
)
from marl_llm.training.loss import Replay
from marl_llm.training.phase import Phase

if TYPE_CHECKING:
    from marl_llm.training.trl_adapter import ReplayTrainer


def build_trainer(
    rows: Sequence[ReplayRow],
    phase: Phase,
    config: TrainConfig,
    replay: Replay,
    temperature: float = 1.0,
) -> ReplayTrainer:
    """The trainer, with base and adapter loaded.

    Raises
    ------
    UserError
        A missing model or adapter.
    """
    model, tokenizer = load_policy(phase.base_dir, phase.adapter_dir, config.precision)
    from marl_llm.training.trl_adapter import ReplayTrainer, replay_arguments

    settings = trainer_arguments(config, phase.base_dir, phase.workdir, phase.seed)
    arguments = replay_arguments(settings, temperature)
    return ReplayTrainer(model, arguments, rows, tokenizer, replay, phase.on_step)


def run(
    trainer: ReplayTrainer, rows: Sequence[ReplayRow], phase: Phase, config: TrainConfig
) -> dict[str, Any]:
    """Train on the rows, from the phase's last checkpoint if there is one.

    Returns
    -------
    dict
        resumed_from_step, precision, tokens (prompt and completion, per epoch), completion_tokens,
        training_seconds, those of `speed`, steps, loss, and `history`, one dict per step.

    Raises
    ------
    RunFailed
        The loss stopped being a number.
    """
    from marl_llm.training.history import history_of, logged_steps
    from marl_llm.training.resume import phase_fingerprint, train_on

    started = time.monotonic()
    fingerprint = phase_fingerprint(rows, config, phase.adapter_sha256, phase.seed)
    from_step = train_on(trainer, phase.workdir, fingerprint)
    seconds = time.monotonic() - started
    steps = logged_steps(trainer)
    require_finite(steps)
    return {
        "resumed_from_step": from_step,
        "precision": precision_of(config.precision, phase.base_dir),
        "tokens": sum(row.tokens for row in rows),
        "completion_tokens": sum(len(row.completion_ids) for row in rows),
        "training_seconds": seconds,
        **speed(trainer.cells, seconds),
        "steps": len(steps),
        "loss": [entry["loss"] for entry in steps],
        "history": history_of(steps),
    }


def speed(cells: Counter[str], seconds: float) -> dict[str, float]:
    """From the trainer's counts: `tokens_per_s` counts each row as if computed alone,
    `computed_tokens_per_s` all cells that the model saw; of a resumed phase this process's part.
    """
    if not cells:
        names = ("tokens_per_s", "computed_tokens_per_s", "padding_share", "shared_share")
        return dict.fromkeys(names, 0.0)
    return {
        "tokens_per_s": cells["logical"] / seconds,
        "computed_tokens_per_s": cells["cells"] / seconds,
        "padding_share": 1 - cells["packed"] / cells["cells"],
        "shared_share": 1 - cells["packed"] / cells["logical"],
    }
