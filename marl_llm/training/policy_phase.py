"""The policy-gradient phase: checked rows with advantages and one adapter go in, the trained model and its metrics come
out.

Load the base and the adapter, pass the integrity gate, replay the rows. What the rows' advantages mean (group-relative,
leave-one-out, GAE) is credit's business; the losses are TRL's.
"""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marl_llm.errors import RunFailed, UserError
from marl_llm.training.config import TrainConfig
from marl_llm.training.data import ReplayRow
from marl_llm.training.diagnosis import likely_causes
from marl_llm.training.gate import GateReport, check_integrity
from marl_llm.training.quiet import quiet_libraries

if TYPE_CHECKING:
    from marl_llm.training.replay_grpo import OnStep, ReplayGRPOTrainer

_STEP_NAMES = {
    "step": "step",
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "entropy": "entropy",
    "kl": "kl_base",
    "clip_ratio/region_mean": "clip_share",
    "cispo_clip_ratio": "clip_share",
    "replay/ratio_mean": "ratio_mean",
    "replay/ratio_max": "ratio_max",
    "replay/approx_kl": "approx_kl",
    "replay/ess_frac": "ess_frac",
}


def train_policy(
    rows: list[ReplayRow],
    *,
    base_dir: Path,
    adapter_dir: Path,
    adapter_sha256: str,
    config: TrainConfig,
    workdir: Path,
    seed: int,
    on_step: OnStep | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Train on rows whose advantages are ready; returns the PEFT model (adapter "default") and the metrics.

    Arguments, metrics and errors as in `train_role.train_role`; `adapter_sha256` is the fingerprint of `adapter_dir`.
    """
    trainer = build_trainer(rows, base_dir, adapter_dir, config, workdir, seed, on_step)
    gate = _gate(trainer, rows, config, adapter_sha256, seed)
    metrics = _train(trainer, rows, config, gate)
    return trainer.accelerator.unwrap_model(trainer.model), metrics


def build_trainer(
    rows: list[ReplayRow],
    base_dir: Path,
    adapter_dir: Path,
    config: TrainConfig,
    workdir: Path,
    seed: int,
    on_step: OnStep | None = None,
) -> ReplayGRPOTrainer:
    """The trainer, with base and adapter loaded; arguments and errors as in `train_role`."""
    quiet_libraries()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from marl_llm.training.replay_grpo import ReplayGRPOTrainer

    if not (Path(base_dir) / "config.json").is_file():
        raise UserError(f"{base_dir}: no model here, config.json is missing.")
    precision = _precision(config)
    base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=getattr(torch, precision))
    tokenizer = AutoTokenizer.from_pretrained(base_dir)
    model = PeftModel.from_pretrained(base, str(adapter_dir), adapter_name="default", is_trainable=True)
    return ReplayGRPOTrainer(model, _arguments(config, precision, workdir, seed), rows, tokenizer, on_step)


def _precision(config: TrainConfig) -> str:
    import torch

    if config.precision != "auto":
        return config.precision
    return "bfloat16" if torch.cuda.is_available() else "float32"


def _arguments(config: TrainConfig, precision: str, workdir: Path, seed: int) -> Any:
    import torch

    from marl_llm.training.replay_grpo import ReplayGRPOConfig

    cuda = torch.cuda.is_available()
    return ReplayGRPOConfig(
        output_dir=str(workdir),
        loss_type=config.loss_type,
        importance_sampling_level=config.importance_sampling_level,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler if config.lr_scheduler != "constant" else "constant_with_warmup",
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_rows,
        gradient_accumulation_steps=config.gradient_accumulation,
        epsilon=config.epsilon_low,
        epsilon_high=config.epsilon_high,
        beta=config.beta,
        temperature=config.temperature,
        old_logps=config.old_logps,
        tis_cap=config.tis_cap,
        max_completion_length=config.max_completion_tokens,
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=precision == "bfloat16",
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _gate(
    trainer: ReplayGRPOTrainer, rows: list[ReplayRow], config: TrainConfig, fingerprint: str, seed: int
) -> GateReport:
    tolerance = config.tolerance(_precision(config))
    explain = partial(likely_causes, model=trainer.model, temperature=config.temperature, tolerance=tolerance)
    return check_integrity(
        rows,
        trainer.score,
        explain,
        adapter_sha256=fingerprint,
        tolerance=tolerance,
        max_rows=config.gate_rows,
        seed=seed,
    )


def _train(trainer: ReplayGRPOTrainer, rows: list[ReplayRow], config: TrainConfig, gate: GateReport) -> dict[str, Any]:
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    history = [{name: entry[key] for key, name in _STEP_NAMES.items() if key in entry} for entry in trainer.history]
    for entry in history:
        if not (math.isfinite(entry["loss"]) and math.isfinite(entry["grad_norm"])):
            raise RunFailed(
                f"training diverged at step {entry['step']:.0f}: loss {entry['loss']}, gradient norm "
                f"{entry['grad_norm']}; nothing was published. Lower training.learning_rate and run again."
            )
    tokens = sum(row.tokens for row in rows)
    last = history[-1]
    return {
        "tokens": tokens,
        "completion_tokens": sum(len(row.completion_ids) for row in rows),
        "training_seconds": seconds,
        "tokens_per_s": tokens * config.epochs / seconds,
        "padding_share": trainer.padding_share,
        "steps": len(history),
        "precision": _precision(config),
        "gate": gate.to_dict(),
        "ratio0": gate.ratio_mean,
        "loss": [entry["loss"] for entry in history],
        "approx_kl": last["approx_kl"],
        "ess_frac": last["ess_frac"],
        "clip_share": last.get("clip_share"),
        "kl_base": last.get("kl_base"),
        "importance_weights": _weights(trainer.weights),
        "history": history,
    }


def _weights(weights: np.ndarray | None) -> dict[str, float] | None:
    if weights is None:
        return None
    return {"mean": float(weights.mean()), "max": float(weights.max()), "min": float(weights.min())}
