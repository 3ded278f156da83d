"""A phase that is pushed too hard ends, and ends near where it started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from marl_llm.algorithms import GRPO
from marl_llm.training.adapters import adapter_sha256
from marl_llm.training.train_role import train_role

LIMIT = 0.05


def _train(logged: pd.DataFrame, tiny: Any, folder: Path, **config: Any) -> dict[str, Any]:
    return train_role(
        logged,
        base_dir=tiny.base_dir,
        adapter_dir=tiny.adapter_dir,
        out_dir=folder / "ds-v1",
        workdir=folder / "work",
        seed=3,
        algorithm=GRPO(**{"batch_rows": 8, "epochs": 4, **config}),
    )


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_a_rate_that_is_too_high_is_survived(
    logged: pd.DataFrame, tiny: Any, tmp_path: Path, rate: float
) -> None:
    free = _train(logged, tiny, tmp_path / "free", learning_rate=rate)
    assert free["diagnostics"]["end"]["approx_kl"] > 4 * LIMIT and free["undone"] == 0
    held = _train(logged, tiny, tmp_path / "held", learning_rate=rate, kl_limit=LIMIT)
    assert held["undone"] >= 1 and held["steps"] < free["steps"]
    assert held["diagnostics"]["end"]["approx_kl"] <= LIMIT
    unchanged = held["undone"] == held["steps"]
    assert (adapter_sha256(tmp_path / "held" / "ds-v1") == tiny.sha256) == unchanged


def test_the_last_update_is_looked_at_as_well(
    logged: pd.DataFrame, tiny: Any, tmp_path: Path
) -> None:
    one = _train(logged.iloc[:8], tiny, tmp_path, epochs=1, learning_rate=0.3, kl_limit=LIMIT)
    assert one["steps"] == one["undone"] == 1 and one["adapter_sha256"] == tiny.sha256


def test_a_phase_within_the_limit_is_the_same_as_without(
    logged: pd.DataFrame, tiny: Any, tmp_path: Path
) -> None:
    free = _train(logged, tiny, tmp_path / "free", learning_rate=1e-4)
    held = _train(logged, tiny, tmp_path / "held", learning_rate=1e-4, kl_limit=LIMIT)
    assert free["adapter_sha256"] == held["adapter_sha256"] != tiny.sha256 and held["undone"] == 0
