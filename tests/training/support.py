"""What tests of training share: an independent way to score completions (one row at a time with
transformers alone, no padding, numpy out), and a worker's specification with its files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.algorithms import GRPO
from marl_llm.credit import CreditConfig, assign_credit, write_credit
from marl_llm.training.phase import Phase

ROOT = Path(__file__).parents[2]


def grpo_trainer(rows: Any, tiny: Any, workdir: Path, **config: Any) -> Any:
    """The trainer of a GRPO phase on the tiny pair, without gate and diagnosis."""
    return GRPO(**config).trainer(
        rows, Phase(tiny.base_dir, tiny.adapter_dir, tiny.sha256, workdir, seed=0)
    )


def completion_logps(
    model: Any, rows: pd.DataFrame, column: str = "completion_ids"
) -> list[np.ndarray]:
    """Log-probabilities (nats) of the tokens of `column` after `prompt_ids`; one array of shape
    (T,) a row.
    """
    return [token_logps(model, p, c) for p, c in zip(rows["prompt_ids"], rows[column], strict=True)]


def token_logps(model: Any, prompt: np.ndarray, completion: np.ndarray) -> np.ndarray:
    """Log-probabilities (nats) of `completion` after `prompt`, shape (T,)."""
    import torch

    ids = torch.from_numpy(np.concatenate([prompt, completion]).astype(np.int64))[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].double().numpy()
    logits = logits[len(prompt) - 1 : -1]
    normal = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
    return logits[np.arange(len(completion)), np.asarray(completion)] - normal


def some_credit(rows: pd.DataFrame) -> pd.DataFrame:
    """Credit for made-up rewards that follow from the completions."""
    rewards = rows["completion_ids"].map(lambda ids: float(ids[0] % 7))
    scored = rows.assign(reward=rewards, reward_own=0.0)
    return assign_credit(scored, "data_scientist", CreditConfig())[0]


def worker_spec(
    tiny: Any, logged: pd.DataFrame, directory: Path, config: dict[str, Any]
) -> dict[str, Any]:
    """A specification with its files in `directory`: trajectories as the collector leaves them, and
    credit.
    """
    from marl_llm.trajectories import SCHEMA

    (directory / "rows").mkdir()
    _as_written(
        logged.drop(columns="advantage").assign(adapter_sha256=tiny.sha256),
        SCHEMA,
        directory / "rows",
    )
    write_credit(some_credit(logged), directory / "credit.parquet")
    return {
        "role": "data_scientist",
        "rows": [str(directory / "rows")],
        "credit": [str(directory / "credit.parquet")],
        "base_dir": str(tiny.base_dir),
        "adapter_dir": str(tiny.adapter_dir),
        "out_dir": str(directory / "adapters" / "data_scientist-v1"),
        "workdir": str(directory / "work"),
        "metrics": str(directory / "metrics.json"),
        "seed": 1,
        "config": config,
    }


def _as_written(rows: pd.DataFrame, schema: Any, directory: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for episode, part in rows.groupby("episode"):
        columns = [_column(part, field) for field in schema]
        pq.write_table(
            pa.Table.from_arrays(columns, schema=schema), directory / f"part-{episode}.parquet"
        )


def _column(part: pd.DataFrame, field: Any) -> Any:
    import pyarrow as pa

    from marl_llm.trajectories import SCHEMA_VERSION

    if field.name in part:
        return pa.array(
            [getattr(value, "tolist", lambda v=value: v)() for value in part[field.name]],
            field.type,
        )
    if field.name == "schema_version":
        return pa.array([SCHEMA_VERSION] * len(part), field.type)
    blank: Any = (
        "{}" if pa.types.is_string(field.type) else [] if pa.types.is_list(field.type) else 0
    )
    return pa.array(
        [blank if not pa.types.is_boolean(field.type) else False] * len(part), field.type
    )
