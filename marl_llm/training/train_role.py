"""One training phase of one role: its rows with advantages and its current adapter go in, the next version of the
adapter comes out.

Which rows an algorithm learns from, and by which phase, is decided here; the phase trains, and the result is saved by
temporary directory and atomic rename. The optimizer starts afresh each time. Which rows are recent enough, and what the
next version is called, is the caller's business. Under `accelerate launch` all processes train, the first saves.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.training.adapters import (
    adapter_sha256,
    base_name_of,
    copy_version,
    publish_version,
    save_adapter,
    staging,
)
from marl_llm.training.config import TrainConfig
from marl_llm.training.data import replay_rows
from marl_llm.training.diagnostics import dropped_share
from marl_llm.training.gate import only_old_kept
from marl_llm.training.phase import Phase
from marl_llm.training.ranks import first_alone, is_alone
from marl_llm.training.selection import imitation_rows, preference_pairs

if TYPE_CHECKING:
    from marl_llm.training.history import OnStep


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
    values: Path | None = None,
) -> dict[str, Any]:
    """Train one role's adapter on its rows.

    Parameters
    ----------
    rows : DataFrame
        Rows of one role with `prompt_ids`, `completion_ids`, `logprobs`, `advantage`, and where present `kept` (False:
        left out), `adapter_sha256` and `sampling` (read by the integrity gate) and the row key (for messages). sft and
        dpo need `group` as well, ppo the columns that `ppo.train_ppo` names.
    base_dir, adapter_dir, config, workdir, seed, on_step
        As in `phase.Phase`.
    out_dir : Path
        The next version; must not exist, and appears complete or not at all.
    values : Path, optional
        ppo: the parquet file for the critic's old values; default: in `workdir`.

    Returns
    -------
    dict
        Fit for JSON. "trained" is False if no row was left to train on, or only rows of older adapters, on which the
        gate could see nothing; the new version then equals the old one. Otherwise: algorithm, rows, dropped and
        dropped_share, tokens (prompt and completion, per epoch), seconds, tokens_per_s, steps, precision, loss,
        `history`, one dict per step, and what the phase adds: for grpo, rloo and ppo completion_tokens, padding_share,
        gate, ratio0, approx_kl, ess_frac, clip_share (last step), kl_base, importance_weights, undone, diagnostics
        (`diagnostics.describe`); for ppo `critic`; for dpo pairs, margin, preferred_share.

    Raises
    ------
    UserError
        Malformed rows, a missing model or adapter, or an existing `out_dir`.
    IntegrityError
        The rows were not sampled by this adapter under these settings (sft and dpo: not by this adapter).
    RunFailed
        The loss stopped being a number; nothing is published.
    """
    if Path(out_dir).exists():
        raise UserError(
            f"{out_dir} exists already and adapter versions are never overwritten; choose the next version."
        )
    started = time.monotonic()
    before = adapter_sha256(adapter_dir)
    phase = Phase(base_dir, adapter_dir, before, config, workdir, seed, on_step)
    model, learned = _learn(rows, Path(workdir) / "values.parquet" if values is None else Path(values), phase)
    with first_alone() as mine:
        if mine and model is None:
            copy_version(adapter_dir, out_dir)
        elif mine:
            _publish(model, base_name_of(adapter_dir), Path(out_dir))
    metrics = {"trained": model is not None, "algorithm": config.algorithm, "adapter_sha256_before": before} | learned
    metrics["dropped_share"] = dropped_share(learned["rows"], learned["dropped"])
    return metrics | {"adapter_sha256": adapter_sha256(out_dir), "seconds": time.monotonic() - started}


def _learn(frame: pd.DataFrame, values: Path, phase: Phase) -> tuple[Any | None, dict[str, Any]]:
    """The algorithm's rows and phase; returns the trained model, None without a row, and the metrics."""
    config, sha256 = phase.config, phase.adapter_sha256
    if config.algorithm in ("sft", "dpo") and not is_alone():
        raise UserError(f"{config.algorithm} trains in one process: start it without `accelerate launch`.")
    if config.algorithm == "ppo":
        from marl_llm.training.ppo import critic_files, train_ppo

        return train_ppo(frame, critic_files(phase.adapter_dir, values), phase)
    if config.algorithm == "sft":
        from marl_llm.training.sft import train_imitation as train

        chosen, dropped = imitation_rows(frame, config)
        old = config.own_rows_only and only_old_kept(chosen, _fingerprints(frame), sha256)
    elif config.algorithm == "dpo":
        from marl_llm.training.dpo import train_preferences as train

        chosen, dropped = preference_pairs(frame)
        old = only_old_kept(chosen, _fingerprints(frame), sha256)
    else:
        from marl_llm.training.policy_phase import train_policy as train

        chosen, dropped = replay_rows(frame)
        old = only_old_kept(chosen, _fingerprints(frame), sha256)
    each = 2 if config.algorithm == "dpo" else 1
    if old:
        chosen, dropped = [], dropped | {"only_old": each * len(chosen)}
    counts = {"rows": each * len(chosen), "dropped": dropped}
    if not chosen:
        return None, counts
    model, learned = train(chosen, phase)  # type: ignore[arg-type]
    return model, counts | learned


def _fingerprints(frame: pd.DataFrame) -> list[str]:
    return frame["adapter_sha256"].tolist() if "adapter_sha256" in frame else []


def _publish(model: Any, base_name: str, out_dir: Path) -> None:
    with staging(out_dir) as directory:
        save_adapter(model, directory, base_name=base_name)
        publish_version(directory, out_dir)
