"""The check of who is blamed, against hand calculation, on runs written here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blame import blame, main

from marl_llm.core.roles import ML_ENGINEER
from marl_llm.trajectories import TrajectoryWriter
from marl_llm.workspace.run import RunDirectory
from tests.trajectories.rows import make_row

# (verdict of the turn, done as asked, advantage, kept)
CODE = (
    ("accepted", 1, 2.0, True),
    ("no_gain", 1, -1.0, True),
    ("no_gain", 1, -0.5, True),
    ("no_gain", 0, -0.5, True),
    ("no_gain", 1, 9.0, False),
)


def a_run(root: Path) -> RunDirectory:
    """A run of one iteration with the Engineer's completions in `CODE`, one an episode, and their
    group credit.
    """
    run = RunDirectory(root)
    writer, credit = TrajectoryWriter(run.trajectories(0)), []
    for number, (verdict, asked, advantage, kept) in enumerate(CODE):
        key = {"episode": f"e{number}", "branch": "0", "call": 0, "role": ML_ENGINEER}
        writer.append([make_row(**key, verdict=verdict, compliance=asked)])
        credit.append(key | {"advantage": advantage, "kept": kept})
    run.credit(0, ML_ENGINEER).parent.mkdir(parents=True)
    pd.DataFrame(credit).to_parquet(run.credit(0, ML_ENGINEER))
    run.metrics(0).write_text("{}")
    return run


def test_what_was_asked_is_told_apart_by_what_came_of_the_suggestion() -> None:
    frame = pd.DataFrame(
        [code[:3] for code in CODE], columns=["verdict", "compliance", "advantage"]
    )
    found = blame(frame.iloc[:4])
    assert found == {
        "completions": 4,
        "as_asked": 0.75,
        "negative": pytest.approx(2 / 3),
        "mean_with_gain": 2.0,
        "mean_without_gain": -0.75,
        "mean_otherwise": -0.5,
    }
    assert blame(frame.iloc[:1])["mean_otherwise"] is None


def test_groups_count_what_they_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = a_run(tmp_path / "run"), tmp_path / "blame.json"
    assert main([str(run.root), "--out", str(out)]) == 0
    [found] = json.loads(out.read_text()).values()
    assert (found["completions"], found["as_asked"], found["mean_without_gain"]) == (4, 0.75, -0.75)
    assert "mean_without_gain -0.75" in capsys.readouterr().out


def test_the_advantages_of_ppo_are_whitened_over_tokens(tmp_path: Path) -> None:
    run, out = a_run(tmp_path / "run"), tmp_path / "blame.json"
    values = pd.read_parquet(run.credit(0, ML_ENGINEER)).drop(columns=["kept"])
    values["advantage"] = [
        np.array(tokens) for tokens in ([4.0, 4.0], [0.0], [0.0, 0.0], [0.0], [0.0, 0.0])
    ]
    (run.iteration(0) / "training").mkdir()
    values.to_parquet(run.iteration(0) / "training" / f"{ML_ENGINEER}-values.parquet")
    assert main([str(run.root), "--out", str(out)]) == 0
    [found] = json.loads(out.read_text()).values()
    mean, deviation = 1.0, 3**0.5  # two tokens of 4 among eight
    assert found["completions"] == 5
    assert found["mean_with_gain"] == pytest.approx((4 - mean) / deviation)
    assert found["mean_without_gain"] == found["mean_otherwise"] == pytest.approx(-mean / deviation)


def test_a_run_that_was_not_trained_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "blame.json")
    assert main([str(tmp_path / "nowhere"), "--out", out]) == 2
    assert "no finished iteration; name a run directory." in capsys.readouterr().err
    run = a_run(tmp_path / "run")
    run.credit(0, ML_ENGINEER).unlink()
    assert main([str(run.root), "--out", out]) == 2
    assert "it was not trained on; name a run that was." in capsys.readouterr().err
