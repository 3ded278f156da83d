"""One training phase, end to end on a tiny model: what it learns, what it writes, what it counts,
what it refuses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.algorithms.registry import read_algorithm
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.training.adapters import adapter_sha256, copy_version
from marl_llm.training.train_role import train_role


@pytest.fixture
def train(tiny: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def _train(rows: pd.DataFrame, *, out: str = "ds-v1", **changes: Any) -> dict[str, Any]:
        options: dict[str, Any] = {
            "base_dir": tiny.base_dir,
            "adapter_dir": tiny.adapter_dir,
            "out_dir": tmp_path / out,
            "workdir": tmp_path / "work",
            "seed": 3,
        }
        config = {"learning_rate": 1e-3, "batch_rows": 8}
        options |= {
            name: changes.pop(name) for name in list(changes) if name in {*options, "on_step"}
        }
        return train_role(rows, algorithm=read_algorithm(config | changes), **options)

    return _train


def test_metrics_tell_the_whole_phase(
    train: Callable,
    logged: pd.DataFrame,
    tmp_path: Path,
    tiny: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps: list[tuple[int, int, float]] = []
    metrics = train(logged, epochs=2, beta=0.05, on_step=lambda *event: steps.append(event))
    assert metrics["trained"] and metrics["rows"] == 24 and metrics["steps"] == 6
    assert [step for step, _, _ in steps] == [1, 2, 3, 4, 5, 6] and {
        total for _, total, _ in steps
    } == {6}
    assert [loss for _, _, loss in steps] == metrics["loss"]
    assert abs(metrics["ratio0"] - 1) < 1e-3 and metrics["gate"]["abs_log_ratio"] < 1e-4
    assert metrics["history"][0]["ratio_mean"] == pytest.approx(1, abs=1e-3)
    assert metrics["history"][0]["approx_kl"] < 1e-6 < metrics["history"][-1]["approx_kl"]
    assert metrics["kl_base"] > 1e-3  # the adapter we start from is not the base
    assert 0.5 < metrics["ess_frac"] <= 1 and 0 <= metrics["clip_share"] <= 1
    assert metrics["history"][0]["entropy"] > 0 and metrics["history"][0]["grad_norm"] > 0
    lengths = logged["prompt_ids"].map(len) + logged["completion_ids"].map(len)
    assert metrics["tokens"] == lengths.sum() and metrics["tokens_per_s"] > 0
    assert 0 <= metrics["padding_share"] < 0.5
    assert metrics["adapter_sha256_before"] == tiny.sha256 != metrics["adapter_sha256"]
    assert metrics["adapter_sha256"] == adapter_sha256(tmp_path / "ds-v1")
    json.dumps(metrics)
    assert capsys.readouterr().out == ""


def test_same_seed_gives_the_same_adapter(train: Callable, logged: pd.DataFrame) -> None:
    one, two = train(logged, out="one"), train(logged, out="two")
    assert one["adapter_sha256"] == two["adapter_sha256"]


@pytest.mark.parametrize(
    ("algorithm", "learning_rate"),
    [("grpo", 5e-3), ("rloo", 5e-3), ("ppo", 5e-3), ("sft", 1e-2), ("dpo", 1e-2)],
)
def test_rewarded_tokens_become_more_probable(
    tiny: Any, sample: Callable, tmp_path: Path, algorithm: str, learning_rate: float
) -> None:
    """Collect and train three times on the same 16 prompts; the reward is 1 for a first token with
    an id below 75.
    """
    from marl_llm.credit import CreditConfig, assign_credit

    adapter, rates = copy_version(tiny.adapter_dir, tmp_path / "ds-v0"), []
    for iteration in range(4):
        rows = sample(adapter, groups=16, size=8, seed=iteration, prompt_seed=0, max_new=2).drop(
            columns="advantage"
        )
        rows["reward"] = rows["completion_ids"].map(lambda ids: float(ids[0] < 75))
        rates.append(rows["reward"].mean())
        if iteration == 3:
            break
        credit, _ = assign_credit(
            rows, "data_scientist", CreditConfig(leave_one_out=algorithm == "rloo")
        )
        fingerprint = adapter_sha256(adapter)
        plain = {
            "step": 0,
            "verdict": "no_gain",
            "reward_own": 0.0,
            "followed": None,
        }  # read by ppo only
        settings = {
            "algorithm": algorithm,
            "learning_rate": learning_rate,
            "batch_rows": 32,
            "epochs": 3,
        }
        settings |= {"critic_epochs": 1} if algorithm == "ppo" else {}
        out = tmp_path / f"ds-v{iteration + 1}"
        train_role(
            rows.assign(
                advantage=credit["advantage"],
                kept=credit["kept"],
                adapter_sha256=fingerprint,
                **plain,
            ),
            base_dir=tiny.base_dir,
            adapter_dir=adapter,
            out_dir=out,
            algorithm=read_algorithm(settings),
            workdir=tmp_path / f"work-{iteration}",
            seed=iteration,
        )
        adapter = out
    assert rates[-1] > rates[0] + 0.15, rates


def test_rloo_weighs_each_completion_by_what_it_exceeds_the_mean_of_the_others(
    train: Callable, logged: pd.DataFrame
) -> None:
    """At the first step the ratio is 1, so the loss is minus the advantages' mean over tokens, to
    the digit.
    """
    from marl_llm.credit import CreditConfig, assign_credit

    rewards = np.random.default_rng(0).normal(size=(6, 4))
    rows = logged.assign(reward=rewards.reshape(-1))
    config = CreditConfig.model_validate({"leave_one_out": True, "scale": "none", "clip": None})
    credit, _ = assign_credit(rows, "data_scientist", config)
    metrics = train(rows.assign(advantage=credit["advantage"]), algorithm="rloo", batch_rows=24)
    others = (rewards.sum(1, keepdims=True) - rewards) / 3
    lengths = rows["completion_ids"].map(len).to_numpy()
    expected = -((rewards - others).reshape(-1) * lengths).sum() / lengths.sum()
    assert metrics["loss"] == [pytest.approx(expected, abs=1e-5)] and metrics["algorithm"] == "rloo"


def test_without_a_row_to_train_on_the_version_is_an_unchanged_copy(
    train: Callable, logged: pd.DataFrame, tiny: Any, tmp_path: Path
) -> None:
    metrics = train(logged.assign(kept=False))
    assert metrics["trained"] is False and metrics["dropped"]["not_kept"] == 24
    assert adapter_sha256(tmp_path / "ds-v1") == tiny.sha256


def test_dropped_and_empty_rows_are_counted_and_not_trained_on(
    train: Callable, logged: pd.DataFrame
) -> None:
    rows = logged.assign(kept=[False] * 4 + [True] * 20).astype(
        {"completion_ids": object, "logprobs": object}
    )
    rows.at[5, "completion_ids"], rows.at[5, "logprobs"] = (
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
    )
    metrics = train(rows)
    assert metrics["rows"] == 19 and metrics["dropped"] == {"not_kept": 4, "empty": 1}


def test_recompute_reports_its_importance_weights(train: Callable, logged: pd.DataFrame) -> None:
    metrics = train(logged, old_logps="recompute")
    assert metrics["importance_weights"]["mean"] == pytest.approx(1, abs=1e-3)
    assert metrics["history"][0]["ratio_mean"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "loss_type", ["grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"]
)
def test_every_loss_type_trains(train: Callable, logged: pd.DataFrame, loss_type: str) -> None:
    metrics = train(
        logged.iloc[:8], loss_type=loss_type, gradient_accumulation=2, batch_rows=4, gate_rows=4
    )
    assert metrics["steps"] == 1
    assert math.isfinite(metrics["loss"][0]) and metrics["history"][0]["grad_norm"] > 0


def test_an_existing_version_is_refused_before_anything_is_loaded(
    train: Callable, logged: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "ds-v1").mkdir()
    with pytest.raises(UserError, match="never overwritten"):
        train(logged)


def test_an_algorithm_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="no algorithm 'a2c'; there are grpo, rloo, ppo, sft, dpo"):
        read_algorithm({"algorithm": "a2c"})


def test_divergence_publishes_nothing_and_leaves_no_temporary_directory(
    train: Callable, logged: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match=r"diverged at step .*learning_rate"):
        train(logged.assign(advantage=1e38), learning_rate=1e30, max_grad_norm=1e38, epochs=2)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "work"] == []


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "logprobs",
            np.zeros(2, np.float32),
            "log-probabilities; the rows must be collected again",
        ),
        ("logprobs", None, "not a finite number"),
        ("prompt_ids", np.zeros(0, np.int32), "prompt has no tokens"),
        ("sampling", "{broken", "not a JSON object"),
    ],
)
def test_a_malformed_row_is_named(
    train: Callable, logged: pd.DataFrame, column: str, value: Any, message: str
) -> None:
    rows = logged.assign(sampling="{}").astype(object)
    rows.at[3, column] = np.full_like(rows.at[3, "logprobs"], np.nan) if value is None else value
    with pytest.raises(UserError, match=f"episode e0, branch 1.d3, call 0: .*{message}"):
        train(rows)


def test_a_missing_model_and_a_missing_adapter_are_named(
    train: Callable, logged: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no model here"):
        train(logged, base_dir=tmp_path / "nowhere")
    with pytest.raises(UserError, match="not an adapter"):
        train(logged, adapter_dir=tmp_path / "nowhere")
