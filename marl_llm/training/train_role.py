"""One training phase of one role: its rows with advantages and its current adapter go in, the next version of the
adapter comes out.

Load the base and the adapter, pass the integrity gate, replay the rows, save by temporary directory and atomic rename.
The optimizer starts afresh each time. Which rows are recent enough, and what the next version is called, is the
caller's business.
"""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from marl_llm.errors import RunFailed, UserError
from marl_llm.training.adapters import (
    adapter_sha256,
    base_name_of,
    copy_version,
    publish_version,
    save_adapter,
    staging,
)
from marl_llm.training.config import ALGORITHMS, TrainConfig
from marl_llm.training.data import ReplayRow, replay_rows
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


def train_role(
    rows: pd.DataFrame,
    *,
    base_dir: Path,
    adapter_dir: Path,
    out_dir: Path,
    config: TrainConfig,
    workdir: Path,
    seed: int,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Train one role's adapter on its rows.

    Parameters
    ----------
    rows : DataFrame
        Rows of one role with `prompt_ids`, `completion_ids`, `logprobs`, `advantage`, and where present `kept` (False:
        left out), `adapter_sha256` and `sampling` (read by the integrity gate) and the row key (for messages).
    base_dir, adapter_dir : Path
        The base model and the adapter to go on from; the adapter's own note of its base is not used for loading.
    out_dir : Path
        The next version; must not exist, and appears complete or not at all.
    config : TrainConfig
    workdir : Path
        For the trainer's files; nothing in it is needed afterwards.
    seed : int
        Of the order of rows and of the gate's sample.
    on_step : callable, optional
        Called after each optimizer step with (step from 1, steps, loss).

    Returns
    -------
    dict
        Fit for JSON. "trained" is False if no row was left to train on; the new version then equals the old one.
        Otherwise: rows, dropped, tokens (prompt and completion, per epoch), completion_tokens, seconds, tokens_per_s,
        padding_share, steps, precision, gate, ratio0, loss, approx_kl, ess_frac, clip_share (last step), kl_base,
        importance_weights, and `history`, one dict per step.

    Raises
    ------
    UserError
        Malformed rows, an unknown algorithm, a missing model or adapter, or an existing `out_dir`.
    IntegrityError
        The rows were not sampled by this adapter under these settings.
    RunFailed
        The loss stopped being a number; nothing is published.
    """
    if config.algorithm not in ALGORITHMS:
        raise UserError(f"training.algorithm: {config.algorithm!r} does not exist; there is {', '.join(ALGORITHMS)}.")
    if Path(out_dir).exists():
        raise UserError(
            f"{out_dir} exists already and adapter versions are never overwritten; choose the next version."
        )
    started = time.monotonic()
    kept, dropped = replay_rows(rows)
    before = adapter_sha256(adapter_dir)
    metrics: dict[str, Any] = {
        "trained": bool(kept),
        "algorithm": config.algorithm,
        "rows": len(kept),
        "dropped": dropped,
        "adapter_sha256_before": before,
    }
    if kept:
        trainer = build_trainer(kept, base_dir, adapter_dir, config, workdir, seed, on_step)
        gate = _gate(trainer, kept, config, before, seed)
        metrics |= _train(trainer, kept, config, gate)
        _publish(trainer, base_name_of(adapter_dir), Path(out_dir))
    else:
        copy_version(adapter_dir, out_dir)
    return metrics | {"adapter_sha256": adapter_sha256(out_dir), "seconds": time.monotonic() - started}


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


def _publish(trainer: ReplayGRPOTrainer, base_name: str, out_dir: Path) -> None:
    with staging(out_dir) as directory:
        save_adapter(trainer.accelerator.unwrap_model(trainer.model), directory, base_name=base_name)
        publish_version(directory, out_dir)
