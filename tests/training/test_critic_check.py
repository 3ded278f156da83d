"""The check of a critic on held-out tasks, on rows whose returns are known to be predictable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from critic_check import main, share_between_states

from marl_llm.trajectories import TrajectoryWriter
from tests.trajectories.rows import make_row


@pytest.fixture
def trajectories(tmp_path: Path) -> Path:
    """64 tasks of one turn, which earns 1 where its prompt ends with token 5 and nothing where it
    ends with 6.
    """
    rng, writer = np.random.default_rng(0), TrajectoryWriter(tmp_path / "rows")
    for number in range(64):
        good = bool(rng.integers(2))
        prompt = [int(rng.integers(10, 250)), 5 if good else 6]
        names = {"task": f"t{number}", "episode": f"e{number}", "iteration": number // 40}
        gain = (
            {"verdict": "accepted", "new_reference_gain": float(good)}
            if good
            else {"verdict": "finished"}
        )
        writer.append([make_row(**names, **gain, prompt_ids=prompt, followed=True)])
    return tmp_path / "rows"


def test_what_the_prompt_says_of_the_reward_is_found_in_unseen_tasks(
    trajectories: Path, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "check.json"
    told = [
        "--role",
        "data_scientist",
        "--base",
        str(tiny.base_dir),
        "--out",
        str(out),
        "--splits",
        "1",
    ]
    assert main([str(trajectories), *told, "--epochs", "40", "--learning-rate", "0.01"]) == 0
    found = json.loads(out.read_text())
    split = found["splits"][0]
    assert (split["fitted"]["tasks"], split["heldout"]["tasks"]) == (45, 19)
    assert split["heldout"]["turns"] == 19 and len(split["loss"]) == 40
    assert 0.5 < split["heldout"]["first"] == found["heldout_mean"]["first"] < 1
    assert "held-out explained variance: tokens" in capsys.readouterr().out


def test_a_task_of_several_runs_is_either_fitted_or_held_out(
    trajectories: Path, tiny: Any, tmp_path: Path
) -> None:
    out, again = tmp_path / "check.json", tmp_path / "again"
    again.mkdir()
    writer = TrajectoryWriter(again)
    for number in range(64):
        writer.append(
            [
                make_row(
                    task=f"t{number}",
                    episode=f"x{number}",
                    run="again",
                    prompt_ids=[7],
                    verdict="finished",
                )
            ]
        )
    told = [
        "--role",
        "data_scientist",
        "--base",
        str(tiny.base_dir),
        "--out",
        str(out),
        "--splits",
        "1",
    ]
    assert main([str(trajectories), str(again), *told, "--epochs", "1"]) == 0
    found = json.loads(out.read_text())
    [split] = found["splits"]
    assert (split["fitted"]["tasks"], split["heldout"]["tasks"], split["heldout"]["turns"]) == (
        45,
        19,
        38,
    )
    assert found["settings"]["runs"] == [str(trajectories), str(again)]


def test_looking_ahead_measures_on_a_later_iteration_alone(
    trajectories: Path, tiny: Any, tmp_path: Path
) -> None:
    out = tmp_path / "check.json"
    told = ["--role", "data_scientist", "--base", str(tiny.base_dir), "--out", str(out), "--ahead"]
    assert main([str(trajectories), *told, "1", "--epochs", "40", "--learning-rate", "0.01"]) == 0
    [split] = json.loads(out.read_text())["splits"]
    assert (split["fitted"]["tasks"], split["heldout"]["tasks"]) == (40, 24)
    assert split["heldout"]["first"] > 0.5
    assert main([str(trajectories), *told, "0"]) == 2


def test_too_few_tasks_are_said_in_a_sentence(
    trajectories: Path, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [
        "--role",
        "data_scientist",
        "--base",
        str(tiny.base_dir),
        "--out",
        str(tmp_path / "x.json"),
    ]
    assert main([str(trajectories), *told, "--share", "1"]) == 2
    assert "64 tasks cannot be split by a share of 1" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), *told]) == 2


def test_what_lies_between_states_is_the_intraclass_correlation() -> None:
    # Groups of 2: means 2 and 6, deviations 1 within. MSB = 2 * (4 + 4) / 1 = 16, MSW = 4 / 2 = 2,
    # (16 - 2) / (16 + 2).
    rewards, groups = [1.0, 3.0, 5.0, 7.0], ["a", "a", "b", "b"]
    one = pd.DataFrame(
        {"run": "r", "iteration": 0, "episode": "e", "branch": list("0123"), "call": 0}
    )
    frame = one.assign(group=groups, reward=rewards)
    assert share_between_states(frame) == pytest.approx(14 / 18)
    repaired = frame.assign(
        call=1, reward=[1.0, 3.0, 5.0, 7.0]
    )  # a turn's reward stands in its last call
    assert share_between_states(pd.concat([frame.assign(reward=9.0), repaired])) == pytest.approx(
        14 / 18
    )
    assert share_between_states(frame.assign(group="a")) is None
    assert share_between_states(frame.assign(group=list("abcd"))) is None
