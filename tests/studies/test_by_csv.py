"""Arms held against one of them: on the rows that both have, CSV by CSV."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from by_csv import held_against, main, table

from marl_llm.evaluation.report import EvaluationReport, Result


def result(arm: str, task: str, repeat: int, test: float | None, cpu_s: float = 1.0) -> Result:
    name = f"{task}-r{repeat}"
    return Result(
        arm=arm, trial=name, task=task, repeat=repeat, kind="binary", test=test, cpu_s=cpu_s
    )


RESULTS = [
    result("plain", "a", 0, 0.5),
    result("plain", "a", 1, 0.7),
    result("plain", "b", 0, 0.2),
    result("team", "a", 0, 0.6, 3.0),
    result("team", "a", 1, None),
    result("team", "b", 0, 0.4, 5.0),
    result("weak", "a", 0, 0.4),
    result("weak", "a", 1, 0.5),
    result("weak", "b", 0, 0.1),
]


def report(path: Path) -> Path:
    whole = EvaluationReport(
        name="s",
        level=0.95,
        repeats=2,
        seed=0,
        tasks=2,
        settings={},
        arms=[],
        differences=[],
        results=RESULTS,
        problems=[],
        created_at="",
    )
    path.write_text(json.dumps(whole.to_dict()))
    return path


@pytest.fixture
def held(tmp_path: Path) -> list:
    return held_against(
        EvaluationReport.model_validate_json(report(tmp_path / "e.json").read_text()), "plain"
    )


def test_only_trials_that_both_have_count_and_csvs_weigh_the_same(held):
    team, plain, weak = held
    assert [one.arm for one in held] == ["team", "plain", "weak"], "the best first"
    assert team.by_csv == pytest.approx(
        {"a": 0.1, "b": 0.2}
    ) and team.difference.mean == pytest.approx(0.15)
    assert weak.by_csv == pytest.approx({"a": -0.15, "b": -0.1}) and weak.difference.trials == 3
    assert plain.difference.mean == 0 and plain.scores == pytest.approx({"a": 0.6, "b": 0.2})
    assert team.cpu_s == pytest.approx(3.0)


def test_the_table_has_a_row_for_each_csv_and_the_differences(held):
    lines = table(held).splitlines()
    assert (
        lines[0] == "| CSV | team | plain | weak |" and lines[2] == "| a | 0.600 | 0.600 | 0.450 |"
    )
    assert lines[4].startswith("| mean | 0.5000 |") and "+0.1500" in lines[5]


def test_the_command_prints_and_draws_and_refuses_an_arm_that_is_not_there(
    tmp_path: Path, capsys, caplog
):
    path, picture = report(tmp_path / "e.json"), tmp_path / "arms.png"
    assert main([str(path), "--against", "plain", "--plot", str(picture)]) == 0
    assert capsys.readouterr().out.startswith("| CSV | team") and picture.read_bytes().startswith(
        b"\x89PNG"
    )
    assert main([str(path), "--against", "flaml"]) == 2
    assert "No arm flaml with a score: choose with --against from plain, team, weak." in caplog.text
