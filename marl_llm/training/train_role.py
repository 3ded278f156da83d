"""One training phase of one role: its rows with advantages and its current adapter go in, the next version of the
adapter comes out.

Load the base and the adapter, pass the integrity gate, replay the rows, save by temporary directory and atomic rename.
The optimizer starts afresh each time. Which rows are recent enough, and what the next version is called, is the
caller's business.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from marl_llm.errors import UserError
from marl_llm.training.adapters import (
    adapter_sha256,
    base_name_of,
    copy_version,
    publish_version,
    save_adapter,
    staging,
)
from marl_llm.training.config import ALGORITHMS, TrainConfig
from marl_llm.training.data import replay_rows
from marl_llm.training.policy_phase import train_policy

if TYPE_CHECKING:
    from marl_llm.training.replay_grpo import OnStep


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
        model, learned = train_policy(
            kept,
            base_dir=base_dir,
            adapter_dir=adapter_dir,
            adapter_sha256=before,
            config=config,
            workdir=workdir,
            seed=seed,
            on_step=on_step,
        )
        _publish(model, base_name_of(adapter_dir), Path(out_dir))
        metrics |= learned
    else:
        copy_version(adapter_dir, out_dir)
    return metrics | {"adapter_sha256": adapter_sha256(out_dir), "seconds": time.monotonic() - started}


def _publish(model: Any, base_name: str, out_dir: Path) -> None:
    with staging(out_dir) as directory:
        save_adapter(model, directory, base_name=base_name)
        publish_version(directory, out_dir)
