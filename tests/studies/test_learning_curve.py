"""The learning curve of a run, from what it evaluated itself or from a comparison of versions."""

from __future__ import annotations

from pathlib import Path

import learning_curve
import pytest

from marl_llm.core.errors import UserError
from marl_llm.evaluation.report import REPORT_FILE, EvaluationReport, Result, summarise_arm
from marl_llm.rollout.figures import View, pick, shown
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

TEAM = {"reward_data_scientist": 0.1, "reward_ml_engineer": None, "as_asked": 1.0}


def compared(folder: Path, *arms: str) -> Path:
    """A comparison on two tasks, in which the arm of place k gains 0.1 k."""
    results = [
        [
            Result(
                arm=arm,
                trial=task,
                task=task,
                repeat=0,
                kind="binary",
                test=0.5,
                gain=0.1 * place,
                team=TEAM,
            )
            for task in ("a", "b")
        ]
        for place, arm in enumerate(arms)
    ]
    report = EvaluationReport(
        name="versions",
        level=0.95,
        repeats=1,
        seed=0,
        tasks=2,
        settings={},
        arms=[summarise_arm(one[0].arm, "", one) for one in results],
        differences=[],
        results=[result for one in results for result in one],
        problems=[],
        created_at="2026-01-01T00:00:00+00:00",
    )
    folder.mkdir()
    (folder / REPORT_FILE).write_text(report.model_dump_json())
    return folder


def test_versions_of_a_comparison_are_points_of_the_curve_in_their_order(tmp_path: Path) -> None:
    folder = compared(tmp_path / "out", "baseline", "trained@10", "trained", "trained@2")
    points = learning_curve.compared_points(folder)
    assert list(points) == [2, 10]
    assert [point["test_gain"] for point in points.values()] == pytest.approx([0.3, 0.1])
    assert pick(points[2], "reward.data_scientist") == 0.1 and points[2]["episodes"] == 2


def test_the_picture_leaves_out_what_nobody_measured(tmp_path: Path, tiny_base: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.prepare(Recipe.model_validate({"name": "small", "model": {"path": str(tiny_base)}}))
    folder = compared(tmp_path / "out", "trained@0", "trained@1")
    curve = learning_curve.read_curve(run, folder)
    assert curve["recipe"]["model"]["path"] == tiny_base.name
    assert {panel.key for panel in shown(View.picture)} >= {"reward.ml_engineer", "test_gain"}
    learning_curve.draw(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_without_any_version_one_is_told_how_to_compare_some(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--arms trained@0"):
        learning_curve.compared_points(compared(tmp_path / "out", "trained", "untrained"))
    with pytest.raises(UserError, match="--evaluation"):
        learning_curve.own_points(RunDirectory(tmp_path / "run"))


def test_a_directory_without_a_run_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    assert learning_curve.main([str(tmp_path / "nothing"), str(tmp_path / "curve")]) == 2
    assert caplog.records[0].message.count("\n") == 0
    assert not list(tmp_path.glob("curve*"))
