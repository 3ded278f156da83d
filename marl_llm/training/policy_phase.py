"""The phase of every policy gradient: checked rows with advantages, one adapter and a loss go in,
the trained model and its metrics come out.

Load the base and the adapter, pass the integrity gate, replay the rows. What the rows' advantages
mean, and what the loss does with them, is the algorithm's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from marl_llm.training.config import PolicyConfig
from marl_llm.training.data import ReplayRow
from marl_llm.training.diagnosis import likely_causes, recorded_causes
from marl_llm.training.diagnostics import Probe, choose_probe, describe, divergence
from marl_llm.training.gate import GateReport, IntegrityError, Score, check_integrity, is_fresh
from marl_llm.training.loading import precision_of
from marl_llm.training.loss import Loss, Replay, clip_share
from marl_llm.training.phase import Phase
from marl_llm.training.replay import build_trainer, run

if TYPE_CHECKING:
    from peft import PeftModel

    from marl_llm.training.trl_adapter import ReplayTrainer


def train_policy(
    rows: Sequence[ReplayRow], phase: Phase, config: PolicyConfig, loss: Loss
) -> tuple[PeftModel, dict[str, object]]:
    """Train on rows whose advantages are ready.

    Returns
    -------
    (PeftModel, dict)
        The model (adapter "default"), and the metrics: those of `replay.run`, gate, ratio0,
        approx_kl, ess_frac, clip_share and kl_base (of the last step; the last two None where the
        loss reports none), importance_weights, undone, diagnostics (`diagnostics.describe`).

    Raises
    ------
    UserError, IntegrityError, RunFailed
        As `train_role.train_role`.
    """
    trainer = policy_trainer(rows, phase, config, loss)
    score = _once(trainer.score)  # the gate's rows are among the probe's
    gate = _gate(trainer, rows, phase, config, score)
    probe = choose_probe(rows, phase.adapter_sha256, most=config.gate_rows, seed=phase.seed)
    start = score(probe.rows)
    metrics = run(trainer, rows, phase, config)
    end = _settle(trainer, probe, start)
    last = metrics["history"][-1]
    metrics |= {name: last[name] for name in ("approx_kl", "ess_frac")}
    metrics |= {name: last.get(name) for name in ("clip_share", "kl_base")}
    metrics |= {"gate": gate.to_dict(), "ratio0": gate.ratio_mean}
    metrics["importance_weights"] = _weights(trainer.weights)
    metrics["undone"] = trainer.brake.undone if trainer.brake else 0
    metrics["diagnostics"] = describe(
        probe,
        start,
        end,
        partial(clip_share, loss),
        recomputed=config.old_logps == "recompute",
        weight_cap=config.weight_cap,
    )
    return trainer.accelerator.unwrap_model(trainer.policy), metrics


def policy_trainer(
    rows: Sequence[ReplayRow], phase: Phase, config: PolicyConfig, loss: Loss
) -> ReplayTrainer:
    """The trainer of such a phase, with base and adapter loaded; errors as `build_trainer`."""
    replay = Replay(
        loss,
        old=config.old_logps,
        weight_cap=config.weight_cap,
        batch_tokens=config.batch_tokens,
        kl_limit=config.kl_limit,
        reference=config.needs_reference,
    )
    return build_trainer(rows, phase, config, replay, config.temperature)


def _settle(trainer: ReplayTrainer, probe: Probe, start: list[np.ndarray]) -> list[np.ndarray]:
    """The probe's log-probabilities at the end; the last updates are taken back if they went too
    far."""
    end, brake = trainer.score(probe.rows), trainer.brake
    while brake and brake.too_far(_moved(start, end)) and brake.step_back():
        end = trainer.score(probe.rows)
    return end


def _moved(start: list[np.ndarray], end: list[np.ndarray]) -> float:
    return divergence(np.concatenate(end) - np.concatenate(start))["approx_kl"]


def _once(score: Score) -> Score:
    """`score`, which computes each row once: right as long as the policy stays as it is."""
    known: dict[int, np.ndarray] = {}

    def scored(rows: Sequence[ReplayRow]) -> list[np.ndarray]:
        new = [row for row in rows if id(row) not in known]
        if new:
            known.update(zip(map(id, new), score(new), strict=True))
        return [known[id(row)] for row in rows]

    return scored


def _gate(
    trainer: ReplayTrainer,
    rows: Sequence[ReplayRow],
    phase: Phase,
    config: PolicyConfig,
    score: Score,
) -> GateReport:
    fresh = [row for row in rows if is_fresh(row, phase.adapter_sha256)]
    recorded = recorded_causes(fresh, config.temperature)
    if recorded:
        raise IntegrityError(f"integrity gate: {'; '.join(recorded)}.")
    tolerance = config.tolerance(precision_of(config.precision, phase.base_dir))
    explain = partial(
        likely_causes,
        model=trainer.policy,
        tokenizer=trainer.processing_class,
        temperature=config.temperature,
        tolerance=tolerance,
    )
    return check_integrity(
        rows,
        score,
        explain,
        adapter_sha256=phase.adapter_sha256,
        tolerance=tolerance,
        max_rows=config.gate_rows,
        seed=phase.seed,
    )


def _weights(weights: np.ndarray | None) -> dict[str, float] | None:
    if weights is None:
        return None
    return {
        "mean": float(weights.mean()),
        "max": float(weights.max()),
        "min": float(weights.min()),
    }
