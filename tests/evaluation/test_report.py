"""Summaries, tables and the file of a comparison, from made-up results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.evaluation.arms import Arm
from marl_llm.evaluation.render import report_text, to_markdown
from marl_llm.evaluation.report import (
    EvaluationReport,
    Result,
    differences,
    load_report,
    summarise_arm,
    summarise_arms,
)
from marl_llm.evaluation.trials import Problem

ARMS = [Arm(name, "", None, "") for name in ("untrained", "trained", "hgb", "baseline")]


def result(arm: str, task: str, test: float | None, gain: float = 0.0) -> Result:
    team = {
        "steps": 2.0,
        "accepted": 1.0,
        "tokens": 100.0,
        "compliance": None,
        "as_asked": None,
        "failed_code": None,
    }
    team |= {"invalid_actions": 0.5, "redundant_actions": 0.0}
    return Result(
        arm=arm,
        trial=f"{task}-r0",
        task=task,
        repeat=0,
        kind="binary",
        holdout=test,
        holdout_gain=gain,
        test=test,
        gain=gain,
        low=gain - 0.05,
        high=gain + 0.05,
        raw={"accuracy": test or 0.0},
        team=team if arm.endswith("trained") else {},
        error="" if test is not None else "no test score: timeout",
    )


def a_report() -> EvaluationReport:
    results = [
        result(a.name, t, 0.5, 0.1 if a.name == "trained" else 0.0)
        for a in ARMS
        for t in ("iris", "wine|red")
    ]
    return EvaluationReport(
        name="small",
        level=0.95,
        repeats=1,
        seed=7,
        tasks=2,
        settings={"environment": {"steps": 3}, "isolation": "bubblewrap"},
        arms=summarise_arms(ARMS, results, 0),
        differences=differences(ARMS, results),
        results=results,
        problems=[Problem(task="broken", error="no target")],
        created_at="2026-01-01T00:00:00+00:00",
    )


def test_a_trial_is_better_or_worse_only_if_its_own_interval_excludes_zero():
    clear, unclear, loss = (result("hgb", "a", 0.5, gain) for gain in (0.06, 0.04, -0.06))
    assert [r.improved for r in (clear, unclear, loss)] == [True, False, False]
    assert [r.worse for r in (clear, unclear, loss)] == [False, False, True]


def test_shares_and_relative_gain_are_those_of_the_trials():
    results = [
        result("hgb", "a", 0.6, 0.2),
        result("hgb", "b", 0.5, -0.1),
        result("hgb", "c", 0.9, 0.0),
    ]
    summary = summarise_arm("hgb", "", results)
    assert summary.improved.mean == pytest.approx(1 / 3)
    assert summary.worse.mean == pytest.approx(1 / 3)
    assert summary.relative.mean == pytest.approx((0.2 - 0.1 + 0.0) / (0.6 + 0.4 + 0.1))


def test_a_trial_without_a_score_is_counted_and_left_out_of_the_means():
    summary = summarise_arm("hgb", "", [result("hgb", "a", 0.6, 0.2), result("hgb", "b", None)])
    assert (summary.failed, summary.test.tasks, summary.test.mean) == (1, 1, 0.6)


def test_figures_with_nothing_to_count_are_left_out_and_not_taken_for_zero():
    summary = summarise_arm(
        "trained", "", [result("trained", "a", 0.6), result("trained", "b", 0.6)]
    )
    assert summary.team["compliance"].mean is None
    assert summary.team["tokens"].mean == 100


def test_differences_put_the_trained_pair_first_and_leave_the_baseline_out():
    pairs = [(d.arm, d.against) for d in a_report().differences]
    assert pairs == [("trained", "untrained"), ("untrained", "hgb"), ("trained", "hgb")]


def test_the_report_survives_its_file(tmp_path: Path):
    report = a_report()
    (tmp_path / "evaluation.json").write_text(json.dumps(report.to_dict()))
    assert load_report(tmp_path) == report == load_report(tmp_path / "evaluation.json")


def test_a_missing_or_foreign_report_is_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match="no evaluation here"):
        load_report(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"name": 3')
    with pytest.raises(UserError, match="no evaluation report"):
        load_report(tmp_path)


@pytest.mark.parametrize("render", [report_text, to_markdown])
def test_tables_say_what_was_left_out_how_many_tasks_and_what_a_score_is(render):
    text = render(a_report())
    for said in (
        "broken",
        "no target",
        "2 tasks",
        "seed 7",
        "at most 3 steps",
        "Score: weighted mean",
        "0.500 ▲",
    ):
        assert said in text


def test_the_text_table_fits_a_terminal_and_markdown_lines_have_as_many_cells_as_their_header():
    assert max(map(len, report_text(a_report()).splitlines())) <= 118
    widths: set[int] = set()
    for line in to_markdown(a_report()).splitlines():
        if line.startswith("|"):
            widths.add(line.replace("\\|", "").count("|"))
        elif widths:
            assert len(widths) == 1
            widths = set()
