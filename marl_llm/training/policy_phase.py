"""The policy-gradient phase: checked rows with advantages and one adapter go in, the trained model and its metrics come
out.

Load the base and the adapter, pass the integrity gate, replay the rows. What the rows' advantages mean (group-relative,
leave-one-out, GAE) is credit's business; the losses are TRL's.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marl_llm.training.config import TrainConfig
from marl_llm.training.data import ReplayRow
from marl_llm.training.diagnosis import likely_causes, recorded_causes
from marl_llm.training.diagnostics import Probe, choose_probe, describe, divergence
from marl_llm.training.gate import GateReport, IntegrityError, check_integrity, is_fresh
from marl_llm.training.loading import load_policy, precision_of, require_finite, trainer_arguments
from marl_llm.training.phase import Phase

if TYPE_CHECKING:
    from marl_llm.training.history import OnStep
    from marl_llm.training.replay_grpo import ReplayGRPOTrainer

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


def train_policy(rows: list[ReplayRow], phase: Phase) -> tuple[Any, dict[str, Any]]:
    """Train on rows whose advantages are ready; returns the PEFT model (adapter "default") and the metrics.

    Metrics and errors as in `train_role.train_role`.
    """
    config, fingerprint, seed = phase.config, phase.adapter_sha256, phase.seed
    trainer = build_trainer(rows, phase.base_dir, phase.adapter_dir, config, phase.workdir, seed, phase.on_step)
    precision = precision_of(config, phase.base_dir)
    gate = _gate(trainer, rows, config, fingerprint, seed, config.tolerance(precision))
    probe = choose_probe(rows, fingerprint, most=config.gate_rows, seed=seed)
    start = trainer.score(probe.rows)
    from marl_llm.training.history import logged_steps
    from marl_llm.training.resume import phase_fingerprint, train_on

    started = time.monotonic()
    from_step = train_on(trainer, phase.workdir, phase_fingerprint(rows, config, fingerprint, seed))
    seconds = time.monotonic() - started
    metrics = {"resumed_from_step": from_step, "precision": precision}
    metrics |= _metrics(trainer, logged_steps(trainer), rows, gate, seconds)
    end = _settle(trainer, probe, start)
    metrics["undone"] = trainer.brake.undone if trainer.brake else 0
    metrics["diagnostics"] = describe(probe, start, end, config)
    return trainer.accelerator.unwrap_model(trainer.model), metrics


def _settle(trainer: ReplayGRPOTrainer, probe: Probe, start: list[np.ndarray]) -> list[np.ndarray]:
    """The probe's log-probabilities at the end; the last updates are taken back if they went too far."""
    end = trainer.score(probe.rows)
    while trainer.brake and trainer.brake.too_far(_moved(start, end)) and trainer.brake.step_back():
        end = trainer.score(probe.rows)
    return end


def _moved(start: list[np.ndarray], end: list[np.ndarray]) -> float:
    return divergence(np.concatenate(end) - np.concatenate(start))["approx_kl"]


def build_trainer(
    rows: list[ReplayRow],
    base_dir: Path,
    adapter_dir: Path,
    config: TrainConfig,
    workdir: Path,
    seed: int,
    on_step: OnStep | None = None,
    old_logps: str | None = None,
) -> ReplayGRPOTrainer:
    """The trainer, with base and adapter loaded; arguments and errors as in `train_role`. `old_logps`: instead of the
    configuration's, as in `ReplayGRPOConfig`.
    """
    model, tokenizer = load_policy(base_dir, adapter_dir, config)
    from marl_llm.training.replay_grpo import ReplayGRPOConfig, ReplayGRPOTrainer
    from marl_llm.training.resume import saving

    arguments = ReplayGRPOConfig(
        **(trainer_arguments(config, base_dir, workdir, seed) | saving(config)),
        loss_type=config.loss_type,
        importance_sampling_level=config.importance_sampling_level,
        epsilon=config.epsilon_low,
        epsilon_high=config.epsilon_high,
        beta=config.beta,
        temperature=config.temperature,
        old_logps=old_logps or config.old_logps,
        tis_cap=config.tis_cap,
        batch_tokens=config.batch_tokens,
        kl_limit=config.kl_limit,
        max_completion_length=config.max_completion_tokens,
    )
    return ReplayGRPOTrainer(model, arguments, rows, tokenizer, on_step)


def _gate(
    trainer: ReplayGRPOTrainer,
    rows: list[ReplayRow],
    config: TrainConfig,
    fingerprint: str,
    seed: int,
    tolerance: float,
) -> GateReport:
    recorded = recorded_causes([row for row in rows if is_fresh(row, fingerprint)], config.temperature)
    if recorded:
        raise IntegrityError(f"integrity gate: {'; '.join(recorded)}.")
    explain = partial(
        likely_causes,
        model=trainer.model,
        tokenizer=trainer.processing_class,
        temperature=config.temperature,
        tolerance=tolerance,
    )
    return check_integrity(
        rows,
        trainer.score,
        explain,
        adapter_sha256=fingerprint,
        tolerance=tolerance,
        max_rows=config.gate_rows,
        seed=seed,
    )


def _metrics(
    trainer: ReplayGRPOTrainer,
    steps: list[dict[str, float]],
    rows: list[ReplayRow],
    gate: GateReport,
    seconds: float,
) -> dict[str, Any]:
    history = [{name: entry[key] for key, name in _STEP_NAMES.items() if key in entry} for entry in steps]
    require_finite(history)
    tokens = sum(row.tokens for row in rows)
    last = history[-1]
    return {
        "tokens": tokens,
        "completion_tokens": sum(len(row.completion_ids) for row in rows),
        "training_seconds": seconds,
        **speed(trainer.cells, seconds),
        "steps": len(history),
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


def speed(cells: dict[str, int], seconds: float) -> dict[str, float]:
    """From the trainer's counts: `tokens_per_s` counts each row as if computed alone, `computed_tokens_per_s` all cells
    that the model saw; of a resumed phase this process's part.
    """
    if not cells:
        return {"tokens_per_s": 0.0, "computed_tokens_per_s": 0.0, "padding_share": 0.0, "shared_share": 0.0}
    return {
        "tokens_per_s": cells["logical"] / seconds,
        "computed_tokens_per_s": cells["cells"] / seconds,
        "padding_share": 1 - cells["packed"] / cells["cells"],
        "shared_share": 1 - cells["packed"] / cells["logical"],
    }


def _weights(weights: np.ndarray | None) -> dict[str, float] | None:
    if weights is None:
        return None
    return {"mean": float(weights.mean()), "max": float(weights.max()), "min": float(weights.min())}
