"""Imitation: rows go in, the adapter learns to say their completions. `trl.SFTTrainer` on token ids as they were
sampled; nothing is tokenised again.

Which rows (the best of each group, or all) is `selection`'s business. The loss is the mean negative log-likelihood of
all completion tokens of an optimizer step; prompts are context only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marl_llm.training.config import TrainConfig
from marl_llm.training.data import ReplayRow
from marl_llm.training.loading import load_policy, precision_of, require_finite, trainer_arguments
from marl_llm.training.phase import Phase
from marl_llm.training.selection import check_fingerprints

IGNORED = -100
"""The label of tokens that carry no loss."""

_NAMES = ("step", "loss", "learning_rate", "grad_norm", "entropy", "mean_token_accuracy")


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
    model, tokenizer = load_policy(phase.base_dir, phase.adapter_dir, config)
    from marl_llm.training.history import StepReport, logged_steps
    from marl_llm.training.resume import phase_fingerprint, train_on

    trainer = _trainer(model, tokenizer, rows, config, phase.workdir, seed, StepReport(phase.on_step))
    started = time.monotonic()
    from_step = train_on(trainer, phase.workdir, phase_fingerprint(rows, config, phase.adapter_sha256, seed))
    seconds = time.monotonic() - started
    logged = logged_steps(trainer)
    require_finite(logged)
    tokens = sum(row.tokens for row in rows)
    return trainer.accelerator.unwrap_model(trainer.model), {
        "resumed_from_step": from_step,
        "tokens": tokens,
        "completion_tokens": sum(len(row.completion_ids) for row in rows),
        "training_seconds": seconds,
        "tokens_per_s": tokens * config.epochs / seconds,
        "steps": len(logged),
        "precision": precision_of(config),
        "loss": [entry["loss"] for entry in logged],
        "history": [{name: entry[name] for name in _NAMES if name in entry} for entry in logged],
    }


def labelled(row: ReplayRow) -> dict[str, list[int]]:
    """What the trainer reads of a row: `input_ids` of length P + T and `labels`, `IGNORED` over the prompt."""
    completion = row.completion_ids.tolist()
    return {
        "input_ids": row.prompt_ids.tolist() + completion,
        "labels": [IGNORED] * len(row.prompt_ids) + completion,
    }


def _trainer(
    model: Any, tokenizer: Any, rows: Sequence[ReplayRow], config: TrainConfig, workdir: Path, seed: int, history: Any
) -> Any:
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from marl_llm.training.by_length import SeededByLength
    from marl_llm.training.resume import saving

    class TokenRows(SFTTrainer):
        """Takes the data set as it is, in our order."""

        def _get_train_sampler(self, train_dataset: Any = None) -> SeededByLength:
            return SeededByLength([row.tokens for row in rows], config.batch_rows * config.gradient_accumulation, seed)

    arguments = SFTConfig(
        **(trainer_arguments(config, workdir, seed) | saving(config)),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    dataset = Dataset.from_list([labelled(row) for row in rows])
    trainer = TokenRows(model, arguments, train_dataset=dataset, processing_class=tokenizer, callbacks=[history])
    trainer.remove_callback(PrinterCallback)
    return trainer
