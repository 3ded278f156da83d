"""PPO: which rewards reach which token, what is logged and published; the critic is
measured on unseen rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.algorithms import PPO
from marl_llm.algorithms.ppo import agent_credit, critic_files
from marl_llm.core.errors import UserError
from marl_llm.credit.gae import explained_variance, whiten
from marl_llm.training.adapters import adapter_sha256, latest_version
from marl_llm.training.gate import IntegrityError
from marl_llm.training.train_role import train_role

CONFIG = PPO(
    learning_rate=1e-3, batch_rows=8, gamma=0.9, gae_lambda=0.8, critic_epochs=2, critic_rank=4
)
ENGINEER = "ml_engineer"


def call(
    branch: str, step: int, number: int, reward: float, cost: float, **more: Any
) -> dict[str, Any]:
    place = {
        "episode": "e",
        "role": "data_scientist",
        "branch": branch,
        "step": step,
        "call": number,
    }
    return (
        place
        | {"reward": reward, "reward_own": cost, "verdict": "no_gain", "followed": True}
        | more
    )


def returns(frame: pd.DataFrame, values: list[list[float]]) -> list[list[float]]:
    found = agent_credit(frame, [np.array(v, np.float32) for v in values], CONFIG)
    return [[round(float(x), 6) for x in credit.returns] for credit in found]


def test_each_call_pays_its_own_tokens_and_the_turn_is_rewarded_once_at_its_end() -> None:
    frame = pd.DataFrame(
        [call("0.d0", 0, 1, 0.4 - 0.02, -0.02), call("0.d0", 0, 0, 0.4 - 0.01, -0.01)]
    )
    assert returns(frame, [[0.0, 0.0], [0.0]]) == [[0.38, 0.38], [0.37]]


def test_a_refused_call_pays_for_itself_and_its_correction_does_not() -> None:
    refused = call("0.d0", 0, 0, 0.4 - 0.01 - 0.1, -0.01 - 0.1)
    frame = pd.DataFrame([refused, call("0.d0", 0, 1, 0.4 - 0.02, -0.02)])
    assert returns(frame, [[0.0], [0.0]]) == [[0.27], [0.38]]


def test_a_step_counts_for_the_turns_before_it() -> None:
    frame = pd.DataFrame([call("1.d0", 1, 0, 1.0, 0.0), call("0.d0", 0, 0, 0.5, 0.0)])
    expected = 0.5 + 0.9 * (0.2 + 0.8 * (1.0 - 0.2))
    assert returns(frame, [[0.2], [0.1]]) == [[1.0], [round(expected, 6)]]


def test_roles_and_episodes_do_not_reach_into_each_other() -> None:
    rows = [
        call("0.d0", 0, 0, 0.5, 0.0),
        call("1.d0.e0", 1, 0, 1.0, 0.0, role=ENGINEER),
        call("1.d0", 1, 0, 1.0, 0.0, episode="f"),
        call("0.d0", 0, 0, 0.25, 0.0, iteration=1),
    ]
    assert returns(pd.DataFrame([{"iteration": 0} | row for row in rows]), [[0.0]] * 4) == [
        [0.5],
        [1.0],
        [1.0],
        [0.25],
    ]


def test_finishing_earns_nothing_beyond_while_its_neighbours_are_bootstrapped() -> None:
    frame = pd.DataFrame(
        [
            call("0.d0", 0, 0, -0.1, -0.1, verdict="finished", followed=False),
            call("0.d1", 0, 0, 0.0, 0.0),
            call("0.d2", 0, 0, 0.3, 0.0, followed=False),
            call("1.d0", 1, 0, 0.0, 0.0),
        ]
    )
    finished, _, aside, _ = returns(frame, [[0.5], [0.5], [0.5], [0.2]])
    assert finished == [-0.1] and aside == [round(0.3 + 0.9 * 0.2, 6)]


def test_rows_older_than_the_column_followed_are_plain_where_a_step_has_one_turn() -> None:
    plain = [call("0.d0", 0, 0, 0.5, 0.0), call("1.d0", 1, 0, 1.0, 0.0)]
    tree = [*plain, call("1.d1", 1, 0, 2.0, 0.0)]
    for unknown in ({"followed": None}, {}):
        frame = pd.DataFrame(
            [{k: v for k, v in row.items() if k != "followed"} | unknown for row in tree]
        )
        seen = [
            credit.seen is not None for credit in agent_credit(frame, [np.zeros(1)] * 3, CONFIG)
        ]
        assert seen == [True, False, False]
    mixed = pd.DataFrame(
        [row | {"followed": None} for row in plain] + [row | {"episode": "f"} for row in tree[:2]]
    )
    assert all(credit.seen is not None for credit in agent_credit(mixed, [np.zeros(1)] * 4, CONFIG))


@pytest.fixture
def episodes(tiny: Any, sample: Callable) -> Callable[..., pd.DataFrame]:
    """Plain episodes of three turns, sampled from an adapter; a turn earns 1 where its
    prompt ends with an even id."""

    def _episodes(
        adapter_dir: Path = tiny.adapter_dir, iteration: int = 0, groups: int = 24
    ) -> pd.DataFrame:
        rows = sample(adapter_dir, groups=groups, size=1, seed=iteration, max_new=4)
        number = np.arange(len(rows))
        rows["episode"] = [f"i{iteration}e{n // 3}" for n in number]
        rows["step"], rows["branch"] = number % 3, [f"{n % 3}.d0" for n in number]
        rows["reward"] = rows["prompt_ids"].map(lambda ids: 1.0 * (ids[-1] % 2 == 0)) - 0.01
        return rows.assign(
            reward_own=-0.01,
            verdict="no_gain",
            followed=True,
            iteration=iteration,
            kept=False,
            adapter_sha256=adapter_sha256(adapter_dir),
        )

    return _episodes


@pytest.fixture
def run(tiny: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Train version k + 1 from version k in an adapters' directory of its own."""
    from marl_llm.training.adapters import copy_version

    copy_version(tiny.adapter_dir, tmp_path / "adapters" / "ds-v0")

    def _run(rows: pd.DataFrame, k: int = 0, on_step: Any = None, **changes: Any) -> dict[str, Any]:
        return train_role(
            rows,
            base_dir=tiny.base_dir,
            adapter_dir=tmp_path / "adapters" / f"ds-v{k}",
            out_dir=tmp_path / "adapters" / f"ds-v{k + 1}",
            algorithm=CONFIG.model_copy(update=changes),
            workdir=tmp_path / "work",
            values=tmp_path / f"values-{k}.parquet",
            seed=k,
            on_step=on_step,
        )

    return _run


def test_policy_and_critic_go_on_from_version_to_version(
    run: Callable, episodes: Callable, tmp_path: Path
) -> None:
    adapters = tmp_path / "adapters"
    one = run(episodes())
    assert one["trained"] and one["rows"] == 24 and abs(one["ratio0"] - 1) < 1e-3
    assert one["critic"]["explained_variance_heldout"] is None, "there was no critic yet"
    assert (one["critic"]["turns"], one["critic"]["followed_turns"], one["critic"]["steps"]) == (
        24,
        24,
        2,
    )
    second = episodes(adapters / "ds-v1", iteration=1)
    second.loc[1, ["branch", "step", "call"]] = ["0.d0", 0, 1]  # two calls of one turn
    two = run(second, 1)
    json.dumps(two)
    assert (two["critic"]["turns"], two["critic"]["heldout_turns"]) == (23, 23)
    names = {"ds-v0", "ds-v1", "ds-v2", "ds-critic-v1", "ds-critic-v2"}
    assert {path.name for path in adapters.iterdir()} == names
    assert latest_version(adapters, "ds") == 2, "a critic is no policy"
    assert two["critic"]["explained_variance_heldout"] is not None


def test_a_phase_stopped_in_the_middle_goes_on_to_the_same_policy_and_critic(
    run: Callable, episodes: Callable, tmp_path: Path
) -> None:
    def stop(step: int, *_: Any) -> None:
        if step == 5:
            raise KeyboardInterrupt

    rows, settings = episodes(), {"epochs": 3, "checkpoint_steps": 2}
    whole = run(rows, **settings)
    critic = {
        path.name: path.read_bytes() for path in (tmp_path / "adapters" / "ds-critic-v1").iterdir()
    }
    for name in ("ds-v1", "ds-critic-v1"):
        shutil.rmtree(tmp_path / "adapters" / name)
    with pytest.raises(KeyboardInterrupt):
        run(rows, on_step=stop, **settings)
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == ["ds-v0"], (
        "neither without the other"
    )
    resumed = run(rows, **settings)
    assert (whole["resumed_from_step"], resumed["resumed_from_step"]) == (0, 4) and whole[
        "steps"
    ] == 9
    assert resumed["adapter_sha256"] == whole["adapter_sha256"] and resumed["loss"] == whole["loss"]
    for name, content in critic.items():
        assert (tmp_path / "adapters" / "ds-critic-v1" / name).read_bytes() == content


def test_values_are_logged_as_they_were_before_the_fit_and_measured_on_rewards_really_received(
    run: Callable, episodes: Callable, tiny: Any, tmp_path: Path
) -> None:
    from marl_llm.training.critic import load_critic
    from marl_llm.training.data import replay_rows

    run(episodes())
    second = episodes(tmp_path / "adapters" / "ds-v1", iteration=1)
    metrics = run(pd.concat([episodes(), second], ignore_index=True), 1)[
        "critic"
    ]  # an older iteration is no hold-out
    settings = CONFIG.critic_settings()
    critic = load_critic(
        tiny.base_dir, tmp_path / "adapters" / "ds-critic-v1", settings, tmp_path, 0
    )
    values = critic.values(replay_rows(second.assign(advantage=0.0, kept=True))[0], settings)
    logged = pd.read_parquet(tmp_path / "values-1.parquet").tail(24)
    np.testing.assert_allclose(
        np.concatenate(list(logged["values"])), np.concatenate(values), atol=1e-6
    )
    received = [
        sum(0.9 ** (later - step) * rewards[later] for later in range(step, 3))
        for _, rewards in second.groupby("episode", sort=False)["reward"].apply(list).items()
        for step in range(3)
    ]
    tokens = np.repeat(received, [len(v) for v in values])
    assert metrics["heldout_turns"] == 24
    assert metrics["explained_variance_heldout"] == pytest.approx(
        explained_variance(tokens, np.concatenate(values)), abs=1e-5
    )
    first = explained_variance(np.array(received), np.array([v[0] for v in values]))
    assert metrics["explained_variance_heldout_first"] == pytest.approx(first, abs=1e-5)


def test_the_policy_learns_from_whitened_advantages_of_every_token(
    run: Callable, episodes: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handed: list[Any] = []
    real = PPO.train
    monkeypatch.setattr(
        PPO, "train", lambda self, rows, phase: (handed.extend(rows), real(self, rows, phase))[1]
    )
    run(episodes())
    logged = pd.read_parquet(tmp_path / "values-0.parquet")
    expected = np.concatenate(whiten(list(logged["advantage"])))
    np.testing.assert_allclose(
        np.concatenate([row.advantage for row in handed]), expected, atol=1e-5
    )
    assert expected.mean() == pytest.approx(0, abs=1e-6) and expected.std() == pytest.approx(
        1, abs=1e-3
    )


def test_where_the_gate_closes_neither_policy_nor_critic_is_published(
    run: Callable, episodes: Callable, tmp_path: Path
) -> None:
    rows = episodes()
    with pytest.raises(IntegrityError):
        run(rows.assign(logprobs=rows["logprobs"].map(lambda logps: logps - 0.5)))
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == ["ds-v0"]


def test_a_critic_that_is_there_already_does_not_stop_a_phase_that_is_run_again(
    run: Callable, episodes: Callable, tmp_path: Path
) -> None:
    import shutil

    first = run(episodes())
    shutil.rmtree(
        tmp_path / "adapters" / "ds-v1"
    )  # stopped between the critic's and the policy's publication
    assert run(episodes())["adapter_sha256"] == first["adapter_sha256"]


def test_without_rows_the_version_is_an_unchanged_copy_and_there_is_no_critic(
    run: Callable, episodes: Callable, tmp_path: Path
) -> None:
    assert run(episodes().head(0))["trained"] is False
    assert sorted(path.name for path in (tmp_path / "adapters").iterdir()) == ["ds-v0", "ds-v1"]


def test_a_role_that_sat_out_goes_on_with_the_critic_it_had(
    run: Callable, episodes: Callable, tmp_path: Path
) -> None:
    adapters = tmp_path / "adapters"
    run(episodes())
    assert run(episodes(adapters / "ds-v1", 1).head(0), k=1)["trained"] is False
    assert not (adapters / "ds-critic-v2").exists()
    found = critic_files(adapters / "ds-v2", tmp_path / "values.parquet")
    assert (found.before.name, found.after.name) == ("ds-critic-v1", "ds-critic-v3")
    third = run(episodes(adapters / "ds-v2", 2), k=2)
    assert (
        third["critic"]["explained_variance_heldout"] is not None
        and (adapters / "ds-critic-v3").is_dir()
    )


def test_what_is_missing_is_named(run: Callable, episodes: Callable, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lack the column 'verdict', which ppo needs"):
        run(episodes().drop(columns="verdict"))
    with pytest.raises(UserError, match="named <name>-v<number>"):
        critic_files(tmp_path / "adapter", tmp_path / "values.parquet")
