"""Old rows: how far off they are, corrected and told apart by age, and the simulation of what that
buys.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import staleness
from scipy import stats

from marl_llm.algorithms import GRPO, SFT
from marl_llm.algorithms.registry import read_algorithm
from marl_llm.training.adapters import adapter_sha256
from marl_llm.training.data import ReplayRow
from marl_llm.training.diagnostics import (
    Probe,
    ages_of,
    choose_probe,
    describe,
    divergence,
    dropped_share,
)
from marl_llm.training.loss import clip_share
from marl_llm.training.train_role import train_role

TINY_MODEL = Path(__file__).parents[2] / "data/models/tiny"


def _row(
    sha: str = "now", version: int = -1, logged: list[float] | None = None, advantage: float = 1.0
) -> ReplayRow:
    logprobs = np.array([-1.0] if logged is None else logged, np.float32)
    ids = np.arange(len(logprobs))
    return ReplayRow(
        "r", ids, ids, logprobs, np.full(len(ids), advantage), sha, policy_version=version
    )


def test_age_counts_versions_and_an_unchanged_copy_does_not_make_rows_older() -> None:
    rows = [_row("now", 5), _row("now", 4), _row("b", 4), _row("a", 3), _row("", 1)]
    assert ages_of(rows, "now").tolist() == [0, 0, 1, 2, 0]
    assert ages_of([_row("now"), _row("a")], "now").tolist() == [0, 1], (
        "without a version an old row is 1 old"
    )
    assert ages_of([_row("now", 3), _row("other", 3)], "now").tolist() == [0, 1], (
        "another adapter is never fresh"
    )


def test_the_probe_takes_as_many_rows_of_each_age_and_counts_all() -> None:
    rows = [_row("now", 2)] * 30 + [_row("a", 1)] * 3 + [_row("b", 0)] * 8
    probe = choose_probe(rows, "now", most=5, seed=0)
    assert np.bincount(probe.ages).tolist() == [5, 3, 5] and probe.rows_by_age == {
        0: 30,
        1: 3,
        2: 8,
    }
    assert all(
        row.policy_version == 2 - age for row, age in zip(probe.rows, probe.ages, strict=True)
    )


def test_divergence_by_hand() -> None:
    # ratios 2, 1, 1/2: mean 7/6; effective sample size (3.5)^2 / 5.25 = 7/3 of 3; r - 1 - log r
    found = divergence(np.log([2.0, 1.0, 0.5]))
    assert found["ratio_mean"] == pytest.approx(7 / 6) and found["ratio_max"] == pytest.approx(2)
    assert found["ess_frac"] == pytest.approx(7 / 9)
    assert found["approx_kl"] == pytest.approx((1 - np.log(2) + 0 - 0.5 + np.log(2)) / 3)
    same = divergence(np.zeros(4))
    assert same == {"ratio_mean": 1, "ratio_max": 1, "ess_frac": 1, "approx_kl": 0}


def test_the_mean_of_the_kl_estimate_is_the_kl_divergence() -> None:
    rng = np.random.default_rng(0)
    mu, pi = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
    tokens = rng.choice(6, size=200_000, p=mu)
    exact = float((mu * np.log(mu / pi)).sum())
    assert divergence(np.log(pi / mu)[tokens])["approx_kl"] == pytest.approx(exact, rel=0.05)


def test_clipping_counts_only_tokens_that_would_move_further_out() -> None:
    ratios, advantage = np.array([1.5, 1.5, 0.5, 0.5, 1.1]), np.array([1, -1, 1, -1, 1])
    row = [np.log(ratios)], [advantage]
    assert clip_share(GRPO(epsilon_low=0.2, epsilon_high=0.28).loss, *row) == pytest.approx(2 / 5)
    assert clip_share(GRPO(epsilon_low=0.6, epsilon_high=0.6).loss, *row) == 0


def test_the_clip_is_that_of_the_loss() -> None:
    rows, advantages = [np.log([1.5, 0.9]), np.log([0.5, 0.5])], [np.ones(2), np.ones(2)]
    assert clip_share(GRPO().loss, rows, advantages) == 0.25
    whole = GRPO(loss_type="grpo", importance_sampling_level="sequence", epsilon_high=0.1)
    assert clip_share(whole.loss, rows, advantages) == 0.5, (
        "the first row's mean ratio is 1.16, for both its tokens"
    )
    assert clip_share(GRPO(loss_type="cispo", epsilon_high=5.0).loss, rows, advantages) == 0
    assert clip_share(GRPO(loss_type="cispo", epsilon_high=1.2).loss, rows, advantages) == 0.25
    assert clip_share(GRPO(loss_type="sapo").loss, rows, advantages) is None


@pytest.mark.parametrize("algorithm", ["sft", "dpo"])
def test_old_rows_alone_do_not_stop_imitation_where_the_newest_had_nothing_to_tell(
    aged: tuple[Path, pd.DataFrame], tiny: Any, tmp_path: Path, algorithm: str
) -> None:
    rows = aged[1].assign(kept=aged[1]["policy_version"] == 0)
    metrics = _train(aged, tiny, tmp_path, rows, max_age=2, algorithm=algorithm)
    assert (
        metrics["trained"] is False
        and metrics["dropped"]["only_old"] > 0
        and metrics["dropped_share"] == 1
    )


def test_old_rows_without_importance_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="need truncated importance weights"):
        GRPO(max_age=1)
    assert SFT(max_age=1).max_age == 1


def test_a_phase_is_described_by_age() -> None:
    fresh, old = _row("now", 1, [-1.0, -1.0]), _row("a", 0, [-2.0, -1.0], advantage=-1.0)
    probe = Probe([fresh, old], np.array([0, 1]), {0: 40, 1: 20})
    start = [np.array([-1.0, -1.0]), np.array([-1.0, -1.0])]  # the old row's first token: ratio e
    end = [np.array([-0.5, -1.0]), np.array([-2.0, -1.0])]
    found = describe(
        probe, start, end, partial(clip_share, GRPO().loss), recomputed=True, weight_cap=2.0
    )
    assert found["rows_by_age"] == {"0": 40, "1": 20} and found["tokens"] == 4
    assert (
        found["ages"]["0"]["start"]["ess_frac"] == 1 and found["ages"]["0"]["truncated_share"] == 0
    )
    assert found["ages"]["1"]["start"]["ratio_mean"] == pytest.approx((np.e + 1) / 2)
    assert found["ages"]["1"]["truncated_share"] == 0.5 and found["truncated_share"] == 0.25
    assert found["ages"]["1"]["end"]["ratio_mean"] == 1, "the end is measured against the sampler"
    # clipped against the recomputed denominator: e^0.5 with A > 0, and e^-1 with A < 0
    assert found["clip_share"] == 0.5
    logged = describe(probe, start, end, partial(clip_share, GRPO().loss))
    assert logged["clip_share"] == 0.25 and logged["truncated_share"] is None
    json.dumps(found)


def test_dropped_share_counts_what_was_left_out() -> None:
    assert dropped_share(6, {"not_kept": 3, "empty": 1}) == 0.4 and dropped_share(0, {}) == 0


@pytest.fixture(scope="module")
def aged(
    tiny: Any, sample: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, pd.DataFrame]:
    """An adapter trained hard from version 0, and rows of both as versions 0 and 2."""
    folder = tmp_path_factory.mktemp("aged")
    old = sample(tiny.adapter_dir, groups=4).assign(adapter_sha256=tiny.sha256, policy_version=0)
    settings = GRPO(learning_rate=2e-2, epochs=3)
    paths = {
        "base_dir": tiny.base_dir,
        "adapter_dir": tiny.adapter_dir,
        "out_dir": folder / "ds-v1",
    }
    train_role(old, **paths, algorithm=settings, workdir=folder / "work", seed=0)
    sha = adapter_sha256(folder / "ds-v1")
    new = sample(folder / "ds-v1", groups=4, seed=5).assign(
        adapter_sha256=sha, policy_version=2, iteration=1
    )
    return folder / "ds-v1", pd.concat([old.assign(iteration=0), new], ignore_index=True)


def _train(
    aged: tuple[Path, pd.DataFrame], tiny: Any, tmp_path: Path, rows: pd.DataFrame, **config: Any
) -> dict:
    return train_role(
        rows,
        base_dir=tiny.base_dir,
        adapter_dir=aged[0],
        out_dir=tmp_path / "ds-v2",
        algorithm=read_algorithm({"learning_rate": 1e-6} | config),
        workdir=tmp_path / "work",
        seed=0,
    )


def test_rows_of_two_ages_train_together_weighted_and_reported_apart(
    aged: tuple[Path, pd.DataFrame], tiny: Any, load: Callable, tmp_path: Path
) -> None:
    import torch

    metrics = _train(aged, tiny, tmp_path, aged[1], max_age=2, old_logps="recompute", tis_cap=1.5)
    assert metrics["gate"]["rows"] == 16 and metrics["ratio0"] == pytest.approx(1, abs=1e-3), (
        "fresh rows only"
    )
    found = metrics["diagnostics"]
    assert found["rows_by_age"] == {"0": 16, "2": 16}
    assert found["ages"]["0"]["start"]["ess_frac"] == pytest.approx(1, abs=1e-3)
    assert found["ages"]["2"]["start"]["ess_frac"] < 0.9
    model, weights = load(aged[0]), []
    for row in aged[1].to_dict(
        "records"
    ):  # the weight of every token, computed by transformers alone
        ids = torch.tensor(
            np.concatenate([row["prompt_ids"], row["completion_ids"]])[None].astype(np.int64)
        )
        with torch.no_grad():
            logps = model(input_ids=ids).logits[0, len(row["prompt_ids"]) - 1 : -1].log_softmax(-1)
        chosen = logps.gather(1, ids[0, len(row["prompt_ids"]) :, None])[:, 0].numpy()
        weights.append(np.minimum(np.exp(chosen - row["logprobs"]), 1.5))
    flat, of_old = np.concatenate(weights), np.concatenate(weights[:16])
    assert metrics["importance_weights"]["mean"] == pytest.approx(flat.mean(), abs=1e-3)
    assert metrics["importance_weights"]["max"] == pytest.approx(
        1.5
    ) and flat.max() == pytest.approx(1.5)
    assert found["ages"]["2"]["truncated_share"] == pytest.approx(
        (of_old == np.float32(1.5)).mean(), abs=0.02
    )
    assert metrics["dropped_share"] == 0


def test_with_fresh_rows_all_dropped_nothing_is_trained_and_without_any_the_gate_refuses(
    aged: tuple[Path, pd.DataFrame], tiny: Any, tmp_path: Path
) -> None:
    rows = aged[1].assign(kept=aged[1]["policy_version"] == 0)
    metrics = _train(aged, tiny, tmp_path, rows, max_age=2, old_logps="recompute")
    assert metrics["trained"] is False and metrics["dropped"] == {
        "not_kept": 16,
        "empty": 0,
        "only_old": 16,
    }
    assert (
        metrics["dropped_share"] == 1
        and metrics["adapter_sha256"] == metrics["adapter_sha256_before"]
    )


def test_the_synthetic_reward_counts_different_columns_of_a_finished_reply() -> None:
    assert staleness.reward_of('engineer_features scale ["x0", "x1", "x0"]', True) == pytest.approx(
        2 / 4
    )
    assert (
        staleness.reward_of('["x0", "x1"]', False) == 0
        and staleness.reward_of("max_depth=5", True) == 0
    )
    assert staleness.reward_of(" ".join(f"x{i}" for i in range(9)), True) == 1


def test_intervals_are_students() -> None:
    values = np.array([0.2, 0.5, 0.9])
    found = staleness.interval(values)
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((values.mean(), low, high))


def test_the_simulation_trains_on_rows_of_the_age_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = staleness.Sampler.load
    monkeypatch.setattr(
        staleness.Sampler, "load", lambda self, path: (loaded.append(path.name), load(self, path))
    )
    study = staleness.Study(
        str(TINY_MODEL), iterations=2, prompts=4, group=8, learning_rate=1e-2, batch_rows=8
    )
    run = staleness.simulate(study, 1, "truncated", 0, tmp_path / "old")
    assert loaded == ["v0", "v0", "v1", "v2"], "trained on v0 twice; the others only measured"
    assert len(run["rewards"]) == 3
    ratios = [entry["ess_frac"] for entry in run["start"]]
    assert ratios[0] == pytest.approx(1, abs=1e-4) and ratios[1] < 0.999, (
        "fresh at first, then one version old"
    )
    fresh = staleness.simulate(study, 0, "none", 0, tmp_path / "fresh")
    assert [entry["ess_frac"] for entry in fresh["start"]] == pytest.approx([1, 1], abs=1e-4)


def test_the_study_compares_by_seed_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[tuple[int, str, int]] = []
    level = {("none", 0): 0.8, ("none", 2): 0.5, ("clip", 2): 0.4, ("truncated", 2): 0.7}
    start = {"ratio_mean": 1.0, "ratio_max": 1.0, "ess_frac": 1.0, "approx_kl": 0.0}

    def simulated(_: Any, age: int, correction: str, seed: int, *__: Any) -> dict[str, Any]:
        played.append((age, correction, seed))
        return {"rewards": [0.0] + [level[correction, age] + seed / 10] * 3, "start": [start] * 3}

    monkeypatch.setattr(staleness, "simulate", simulated)
    study = staleness.Study(ages=(0, 2), seeds=3)
    result = staleness.run_study(study, tmp_path / "s.json")
    assert [(cell["age"], cell["correction"]) for cell in result["cells"]] == [
        (0, "fresh"),
        (2, "none"),
        (2, "clip"),
        (2, "truncated"),
    ]
    differences = {
        entry["correction"] + " - " + entry["against"]: entry["mean"]
        for entry in result["differences"]
    }
    assert differences == pytest.approx(
        {"clip - none": -0.1, "truncated - none": 0.2, "truncated - clip": 0.3}
    )
    assert max(entry["high"] - entry["low"] for entry in result["differences"]) < 1e-9, (
        "paired: the seed drops out"
    )
    assert (
        len(played) == 12
        and staleness.run_study(study, tmp_path / "s.json")["cells"] == result["cells"]
    )
    assert len(played) == 12, "cells in the file are not run again"
    staleness.run_study(staleness.Study(ages=(0,), seeds=3), tmp_path / "s.json")
    assert len(played) == 15, "those of another study are"
    staleness.plot(json.loads(json.dumps(result)), tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size > 10_000
