"""Imitation: the loss is the likelihood of the tokens as sampled, and what is imitated
becomes more probable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.algorithms import SFT
from marl_llm.training.gate import IntegrityError
from marl_llm.training.train_role import train_role
from tests.training.support import completion_logps


@pytest.fixture
def imitate(tiny: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def _imitate(rows: pd.DataFrame, **changes: Any) -> dict[str, Any]:
        config = SFT(**{"learning_rate": 1e-3, "batch_rows": 32} | changes)
        folders = {
            "base_dir": tiny.base_dir,
            "adapter_dir": tiny.adapter_dir,
            "workdir": tmp_path / "work",
        }
        return train_role(rows, out_dir=tmp_path / "ds-v1", algorithm=config, seed=0, **folders)

    return _imitate


def test_the_loss_is_the_mean_negative_log_likelihood_of_the_sampled_tokens(
    imitate: Callable, logged: pd.DataFrame, tiny: Any, load: Callable
) -> None:
    """The ids are random, so text of them would be other tokens: nothing was tokenised again."""
    metrics = imitate(logged, selection="all")
    logps = np.concatenate(completion_logps(load(tiny.adapter_dir), logged))
    assert metrics["steps"] == 1 and metrics["rows"] == 24
    assert metrics["loss"][0] == pytest.approx(-logps.mean(), abs=1e-5)
    assert metrics["tokens"] == logged["prompt_ids"].map(len).sum() + len(logps)


def test_micro_batches_weigh_by_tokens(
    imitate: Callable, logged: pd.DataFrame, tiny: Any, load: Callable
) -> None:
    metrics = imitate(logged, selection="all", batch_rows=3, gradient_accumulation=8)
    logps = np.concatenate(completion_logps(load(tiny.adapter_dir), logged))
    assert metrics["steps"] == 1
    assert metrics["loss"][0] == pytest.approx(-logps.mean(), abs=1e-5)


def test_the_best_of_each_group_becomes_more_probable(
    imitate: Callable, logged: pd.DataFrame, tiny: Any, load: Callable, tmp_path: Path
) -> None:
    metrics = imitate(logged, epochs=8, learning_rate=5e-3)
    best = logged.loc[logged.groupby("group")["advantage"].idxmax()]
    best = best[best["advantage"] > 0]
    assert metrics["rows"] == len(best) < 24 and metrics["dropped"]["not_best"] == 24 - len(best)
    before = np.concatenate(completion_logps(load(tiny.adapter_dir), best)).mean()
    after = np.concatenate(completion_logps(load(tmp_path / "ds-v1"), best)).mean()
    assert after > before + 0.5
    assert metrics["loss"][-1] < metrics["loss"][0] and metrics["history"][0]["grad_norm"] > 0


def test_rows_of_another_adapter_are_refused_unless_all_rows_are_to_be_imitated(
    imitate: Callable, logged: pd.DataFrame, tmp_path: Path
) -> None:
    others = logged.assign(adapter_sha256="f" * 64)
    with pytest.raises(IntegrityError, match="another adapter"):
        imitate(others)
    assert not (tmp_path / "ds-v1").exists()
    assert imitate(others, selection="all")["trained"]


def test_log_probabilities_are_not_looked_at(
    imitate: Callable, logged: pd.DataFrame, tiny: Any
) -> None:
    wrong = logged.assign(
        logprobs=logged["logprobs"].map(lambda logps: logps - 1), adapter_sha256=tiny.sha256
    )
    assert imitate(wrong)["trained"]
