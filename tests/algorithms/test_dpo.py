"""Preferences: TRL gets the tokens as sampled, the reference is where the phase started, the loss
is the paper's."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.algorithms import DPO
from marl_llm.algorithms.dpo import preference_loss, preference_pairs
from marl_llm.training.adapters import adapter_sha256
from marl_llm.training.gate import IntegrityError
from marl_llm.training.pair_phase import Pair, pair_trainer
from marl_llm.training.phase import Phase
from marl_llm.training.train_role import train_role
from tests.training.support import token_logps


@pytest.fixture
def prefer(tiny: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def _prefer(rows: pd.DataFrame, out: str = "ds-v1", **changes: Any) -> dict[str, Any]:
        algorithm = DPO(**{"learning_rate": 2e-3, "batch_rows": 8, "dpo_beta": 0.3} | changes)
        folders = {
            "base_dir": tiny.base_dir,
            "adapter_dir": tiny.adapter_dir,
            "workdir": tmp_path / "work",
        }
        return train_role(rows, out_dir=tmp_path / out, algorithm=algorithm, seed=0, **folders)

    return _prefer


def test_trl_is_handed_the_ids_as_sampled(tiny: Any, tmp_path: Path) -> None:
    """Contract: the data set's preparation can be left out, and the collator reads these three
    columns."""
    pairs = [
        Pair(np.array([5, 6, 7]), np.array([8, 9]), np.array([250])),
        Pair(np.array([4]), np.array([3]), np.array([9])),
    ]
    phase = Phase(tiny.base_dir, tiny.adapter_dir, tiny.sha256, tmp_path, seed=0)
    trainer = pair_trainer(pairs, phase, DPO(), beta=0.1)
    batch = trainer.data_collator([trainer.train_dataset[0], trainer.train_dataset[1]])
    assert batch["input_ids"].tolist() == [
        [5, 6, 7, 8, 9],
        [4, 3, 0, 0, 0],
        [5, 6, 7, 250, 0],
        [4, 9, 0, 0, 0],
    ]
    assert batch["completion_mask"].tolist() == [
        [0, 0, 0, 1, 1],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0],
    ]
    assert {
        name for name, p in trainer.policy.named_parameters() if p.requires_grad and ".ref." in name
    } == set()


def test_the_loss_is_the_papers_against_the_adapter_the_phase_started_from(
    prefer: Callable, logged: pd.DataFrame, tiny: Any, load: Callable, tmp_path: Path
) -> None:
    pairs, _ = preference_pairs(logged)
    assert len(pairs) == 6
    one, two = prefer(logged, "one"), prefer(logged, "two", epochs=2)
    assert one["loss"][0] == two["loss"][0] == pytest.approx(math.log(2), abs=1e-6)
    start, moved = load(tiny.adapter_dir), load(tmp_path / "one")

    def gained(pair: Pair, ids: np.ndarray) -> float:
        return (
            token_logps(moved, pair.prompt_ids, ids).sum()
            - token_logps(start, pair.prompt_ids, ids).sum()
        )

    margins = np.array([0.3 * (gained(p, p.chosen_ids) - gained(p, p.rejected_ids)) for p in pairs])
    assert two["loss"][1] == pytest.approx(np.log1p(np.exp(-margins)).mean(), abs=1e-5)
    assert two["margin"] == pytest.approx(margins.mean(), abs=1e-5) and two["margin"] > 0
    assert two["pairs"] == 6 and two["rows"] == 12


def test_our_statement_of_the_loss_is_what_trl_computes(
    prefer: Callable, logged: pd.DataFrame, tiny: Any, load: Callable, tmp_path: Path
) -> None:
    import torch

    pairs, _ = preference_pairs(logged)
    prefer(logged, "one")
    trained = prefer(logged, "two", epochs=2)
    start, moved = load(tiny.adapter_dir), load(tmp_path / "one")
    sums = [
        torch.tensor(
            [
                token_logps(model, pair.prompt_ids, ids).sum()
                for pair, ids in zip(pairs, column, strict=True)
            ]
        )
        for model in (moved, start)
        for column in ([pair.chosen_ids for pair in pairs], [pair.rejected_ids for pair in pairs])
    ]
    assert trained["loss"][1] == pytest.approx(preference_loss(*sums, 0.3).item(), abs=1e-5)
    far = [torch.tensor([x]) for x in (-9e4, 0.0, 0.0, 0.0)]
    assert preference_loss(*far, 1.0).item() == 9e4, "no overflow"


def test_the_preferred_becomes_more_probable_than_the_other(
    prefer: Callable, logged: pd.DataFrame, tiny: Any, tmp_path: Path
) -> None:
    metrics = prefer(logged, epochs=6)
    assert metrics["loss"][-1] < 0.6 < metrics["loss"][0] and metrics["preferred_share"] == 1
    assert metrics["adapter_sha256"] == adapter_sha256(tmp_path / "ds-v1") != tiny.sha256


def test_the_frozen_copy_is_not_published(
    prefer: Callable, logged: pd.DataFrame, tiny: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    prefer(logged)
    weights = [
        load_file(folder / "adapter_model.safetensors")
        for folder in (tiny.adapter_dir, tmp_path / "ds-v1")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert any(not weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_pairs_of_another_adapter_are_refused(prefer: Callable, logged: pd.DataFrame) -> None:
    with pytest.raises(IntegrityError, match="another adapter"):
        prefer(logged.assign(adapter_sha256="f" * 64))


def test_without_a_pair_the_version_is_an_unchanged_copy(
    prefer: Callable, logged: pd.DataFrame, tiny: Any
) -> None:
    metrics = prefer(logged.assign(advantage=0.5))
    assert metrics["trained"] is False and metrics["adapter_sha256"] == tiny.sha256
    assert metrics["dropped"]["no_difference"] == len(logged) and metrics["dropped_share"] == 1
