"""One training phase of one role: its rows with advantages, its current adapter and an algorithm go
in, the next version of the adapter comes out.

The algorithm chooses its rows and trains; the result is saved by temporary directory and atomic
rename. The optimizer starts afresh each time. Which rows are recent enough, and what the next
version is called, is the caller's business. Of several processes all train, the first saves.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.training.adapters import (
    adapter_sha256,
    adapter_weights,
    base_name_of,
    copy_version,
    publish_version,
    save_adapter,
    staging,
)
from marl_llm.training.diagnostics import dropped_share
from marl_llm.training.phase import Learner, OnStep, Phase
from marl_llm.training.ranks import first_alone, is_alone

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


def train_role(
    rows: pd.DataFrame,
    *,
    base_dir: Path,
    adapter_dir: Path,
    out_dir: Path,
    algorithm: Learner,
    workdir: Path,
    seed: int,
    on_step: OnStep | None = None,
    values: Path | None = None,
) -> dict[str, object]:
    """Train one role's adapter on its rows.

    Parameters
    ----------
    rows : DataFrame
        Rows of one role with `prompt_ids`, `completion_ids`, `logprobs`, `advantage`, and where
        present `kept` (False: left out), `adapter_sha256` and `sampling` (read by the integrity
        gate) and the row key (for messages). An algorithm may need more, and says so.
    base_dir, adapter_dir, workdir, seed, on_step, values
        As in `phase.Phase`.
    out_dir : Path
        The next version; must not exist, and appears complete or not at all.
    algorithm : Learner

    Returns
    -------
    dict
        Fit for JSON. "trained" is False if no row was left to train on, or only rows of older
        adapters, on which the gate could see nothing; the new version then equals the old one.
        Always: algorithm, rows, dropped and dropped_share, seconds, both fingerprints; and what the
        algorithm's phase adds.

    Raises
    ------
    UserError
        Malformed rows, a missing model or adapter, or an existing `out_dir`.
    IntegrityError
        The rows were not sampled by this adapter under these settings.
    RunFailed
        The loss stopped being a number; nothing is published.
    """
    if Path(out_dir).exists():
        raise UserError(
            f"{out_dir} exists already and adapter versions are never overwritten; choose "
            "the next version."
        )
    if algorithm.one_process and not is_alone():
        raise UserError(
            f"{algorithm.algorithm} trains in one process only: leave training.processes at 1."
        )
    started = time.monotonic()
    before = adapter_sha256(adapter_dir)
    phase = Phase(base_dir, adapter_dir, before, Path(workdir), seed, on_step, values)
    learned = algorithm.learn(rows, phase)
    weights = None if learned.model is None else adapter_weights(learned.model)
    with first_alone() as mine:
        if mine:
            _publish(learned.model, weights, adapter_dir, Path(out_dir))
    return {
        "trained": learned.model is not None,
        "algorithm": algorithm.algorithm,
        "adapter_sha256_before": before,
        "rows": learned.rows,
        "dropped": learned.dropped,
        **learned.metrics,
        "dropped_share": dropped_share(learned.rows, learned.dropped),
        "adapter_sha256": adapter_sha256(out_dir),
        "seconds": time.monotonic() - started,
    }


def _publish(
    model: PeftModel | None,
    weights: dict[str, torch.Tensor] | None,
    adapter_dir: Path,
    out_dir: Path,
) -> None:
    """Save what was learned, or an unchanged copy."""
    if model is None:
        copy_version(adapter_dir, out_dir)
        return
    with staging(out_dir) as directory:
        base_name = base_name_of(adapter_dir)
        save_adapter(model, directory, base_name=base_name, weights=weights)
        publish_version(directory, out_dir)
