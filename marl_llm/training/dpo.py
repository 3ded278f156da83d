"""Preferences: pairs of completions of one prompt go in, the adapter learns to prefer the first (direct preference
optimisation, sigmoid loss). `trl.DPOTrainer` on token ids as they were sampled.

TRL would tokenise text; its preparation of the data set is overridden and the ids are handed to its collator as they
are, which `tests/training/test_dpo.py` guards. The reference is the adapter the phase started from: TRL keeps a frozen
copy of it beside the trained one.

References
----------
Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model".
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marl_llm.training.config import TrainConfig
from marl_llm.training.loading import load_policy, precision_of, require_finite, trainer_arguments
from marl_llm.training.phase import Phase
from marl_llm.training.selection import Pair, check_fingerprints

_NAMES = {
    "step": "step",
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "rewards/margins": "margin",
    "rewards/accuracies": "preferred_share",
    "logps/chosen": "chosen_logprob",
    "logps/rejected": "rejected_logprob",
}


def train_preferences(pairs: Sequence[Pair], phase: Phase) -> tuple[Any, dict[str, Any]]:
    """Train the adapter on pairs; returns the PEFT model (adapter "default") and the metrics.

    Metrics as in `train_role.train_role`, `batch_rows` counting pairs; `margin` is the mean difference of
    the implicit rewards (nats times `dpo_beta`), `preferred_share` the share of pairs in which it is positive.

    Raises
    ------
    IntegrityError
        All pairs are of another adapter.
    RunFailed
        The loss stopped being a number.
    """
    config, seed = phase.config, phase.seed
    check_fingerprints([pair.adapter_sha256 for pair in pairs], phase.adapter_sha256)
    model, tokenizer = load_policy(phase.base_dir, phase.adapter_dir, config)
    from marl_llm.training.history import StepReport, logged_steps
    from marl_llm.training.resume import phase_fingerprint, train_on

    on_step = [StepReport(phase.on_step)]
    trainer = build_trainer(model, tokenizer, pairs, config, phase.base_dir, phase.workdir, seed, on_step)
    started = time.monotonic()
    from_step = train_on(trainer, phase.workdir, phase_fingerprint(pairs, config, phase.adapter_sha256, seed))
    seconds = time.monotonic() - started
    logged = logged_steps(trainer)
    require_finite(logged)
    history = [{name: entry[key] for key, name in _NAMES.items() if key in entry} for entry in logged]
    tokens = sum(2 * len(p.prompt_ids) + len(p.chosen_ids) + len(p.rejected_ids) for p in pairs)
    return trainer.accelerator.unwrap_model(trainer.model), {
        "pairs": len(pairs),
        "resumed_from_step": from_step,
        "tokens": tokens,
        "training_seconds": seconds,
        "tokens_per_s": tokens * config.epochs / seconds,
        "steps": len(history),
        "precision": precision_of(config, phase.base_dir),
        "loss": [entry["loss"] for entry in history],
        "margin": history[-1]["margin"],
        "preferred_share": history[-1]["preferred_share"],
        "history": history,
    }


def build_trainer(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    config: TrainConfig,
    base_dir: Path,
    workdir: Path,
    seed: int,
    callbacks: list[Any],
) -> Any:
    """The trainer on `pairs`; `model` gets TRL's frozen copy of its adapter as "ref"."""
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    from marl_llm.training.resume import saving

    class TokenPairs(DPOTrainer):
        """Takes the data set as it is, and goes on from a checkpoint."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            """transformers sees "ref" in a directory of its own and then passes over "default" beside it."""
            model = self.model if model is None else model
            model.load_adapter(resume_from_checkpoint, "default", is_trainable=True)

    settings = trainer_arguments(config, base_dir, workdir, seed) | saving(config)
    arguments = DPOConfig(**settings, beta=config.dpo_beta, max_length=None)
    records = [
        {
            "prompt_ids": pair.prompt_ids.tolist(),
            "chosen_ids": pair.chosen_ids.tolist(),
            "rejected_ids": pair.rejected_ids.tolist(),
        }
        for pair in pairs
    ]
    dataset = Dataset.from_list(records)
    trainer = TokenPairs(model, args=arguments, train_dataset=dataset, processing_class=tokenizer, callbacks=callbacks)
    trainer.remove_callback(PrinterCallback)
    return trainer
