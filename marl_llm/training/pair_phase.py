"""The phase on pairs: two completions of one prompt each go in, the trained model and its metrics
come out. The loss is that of `trl.DPOTrainer`; its reference is the adapter the phase started from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marl_llm.training.config import TrainConfig
from marl_llm.training.loading import (
    load_policy,
    precision_of,
    require_finite,
    trainer_arguments,
)
from marl_llm.training.phase import Phase

if TYPE_CHECKING:
    from peft import PeftModel

    from marl_llm.training.trl_adapter import PairTrainer

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


@dataclass(frozen=True, eq=False)
class Pair:
    """Two completions of one prompt, the first preferred. Token ids, int64: shapes (P,),
    (T_chosen,), (T_rejected,); and the fingerprint of the adapter that sampled them, "" if
    unknown."""

    prompt_ids: np.ndarray
    chosen_ids: np.ndarray
    rejected_ids: np.ndarray
    adapter_sha256: str = ""

    @property
    def tokens(self) -> int:
        """Of both completions, each with the prompt."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """All that the weights at the end of a phase follow from."""
        return self.prompt_ids, self.chosen_ids, self.rejected_ids


def train_pairs(
    pairs: Sequence[Pair], phase: Phase, config: TrainConfig, beta: float
) -> tuple[PeftModel, dict[str, object]]:
    """Train the adapter on pairs.

    Parameters
    ----------
    pairs : sequence of Pair
    phase : Phase
    config : TrainConfig
        Its `batch_rows` counts pairs.
    beta : float
        Weight of the log-ratio to the adapter the phase started from.

    Returns
    -------
    (PeftModel, dict)
        The model (adapter "default") and its metrics; `margin` is the mean difference of the
        implicit rewards (nats times `beta`), `preferred_share` the share of pairs in which it is
        positive.

    Raises
    ------
    RunFailed
        The loss stopped being a number.
    """
    trainer = pair_trainer(pairs, phase, config, beta)
    from marl_llm.training.history import logged_steps
    from marl_llm.training.resume import phase_fingerprint, train_on

    started = time.monotonic()
    fingerprint = phase_fingerprint(pairs, config, phase.adapter_sha256, phase.seed)
    from_step = train_on(trainer, phase.workdir, fingerprint)
    seconds = time.monotonic() - started
    logged = logged_steps(trainer)
    require_finite(logged)
    history = [{_NAMES[key]: entry[key] for key in _NAMES if key in entry} for entry in logged]
    tokens = sum(pair.tokens for pair in pairs)
    return trainer.accelerator.unwrap_model(trainer.policy), {
        "pairs": len(pairs),
        "resumed_from_step": from_step,
        "tokens": tokens,
        "training_seconds": seconds,
        "tokens_per_s": tokens * config.epochs / seconds,
        "steps": len(history),
        "precision": precision_of(config.precision, phase.base_dir),
        "loss": [entry["loss"] for entry in history],
        "margin": history[-1]["margin"],
        "preferred_share": history[-1]["preferred_share"],
        "history": history,
    }


def pair_trainer(
    pairs: Sequence[Pair], phase: Phase, config: TrainConfig, beta: float
) -> PairTrainer:
    """The trainer on `pairs`, with base and adapter loaded."""
    model, tokenizer = load_policy(phase.base_dir, phase.adapter_dir, config.precision)
    from marl_llm.training.trl_adapter import PairTrainer
    from marl_llm.training.trl_trainers import DPOConfig

    settings = trainer_arguments(config, phase.base_dir, phase.workdir, phase.seed)
    records = [
        {
            "prompt_ids": pair.prompt_ids.tolist(),
            "chosen_ids": pair.chosen_ids.tolist(),
            "rejected_ids": pair.rejected_ids.tolist(),
        }
        for pair in pairs
    ]
    arguments = DPOConfig(**settings, beta=beta, max_length=None)
    return PairTrainer(model, arguments, records, tokenizer, phase.on_step)
