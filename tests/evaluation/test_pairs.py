"""Two arms against each other, CSV by CSV and overall, against formulas written out here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from marl_llm.evaluation.pairs import over_splits, pair
from marl_llm.evaluation.render import report_text, to_markdown
from marl_llm.evaluation.report import EvaluationReport, Result, pairs_against, worse_tasks
from tests.evaluation.test_report import ARMS, a_report, result

FIVE = [0.02, 0.03, 0.01, 0.04, 0.025]
CLEAR = [0.02, 0.025, 0.03, 0.022, 0.028]


def scores(**by_task: list[float]) -> dict[tuple[str, int], float]:
    return {
        (task, repeat): value
        for task, values in by_task.items()
        for repeat, value in enumerate(values)
    }


def test_the_interval_of_one_csv_is_the_corrected_resampled_t_of_its_splits():
    found = over_splits(FIVE)
    half = stats.t.ppf(0.975, 3) * np.sqrt(
        (1 / 5 + 1 / 3) * np.var(FIVE, ddof=1)
    )  # 4 parts of the rows: 3 degrees
    assert found.mean == pytest.approx(0.025)
    assert (found.low, found.high) == pytest.approx((0.025 - half, 0.025 + half))
    assert (found.tasks, found.trials) == (1, 5)


def test_one_split_has_no_interval_and_none_no_mean():
    assert (over_splits([0.1]).mean, over_splits([0.1]).low) == (0.1, None)
    assert over_splits([]).mean is None


def test_overall_a_csv_counts_once_however_many_splits_it_has():
    first = scores(a=[0.5] * 5, b=[0.9], d=[0.2])
    found = pair("trained", "flaml", first, scores(a=[0.4] * 5, b=[0.9], c=[0.1]))
    assert found.overall.mean == pytest.approx((0.1 + 0.0) / 2)
    half = stats.t.ppf(0.975, 1) * np.std([0.1, 0.0], ddof=1) / np.sqrt(2)
    assert found.overall.high == pytest.approx(0.05 + half)
    assert [one.task for one in found.tasks] == ["a", "b"], "only what both have"


def test_better_and_worse_are_the_csvs_whose_interval_excludes_zero():
    first = scores(up=CLEAR, down=[-v for v in CLEAR], unclear=[0.3, -0.3, 0.1, -0.1, 0.0])
    found = pair("trained", "flaml", first, dict.fromkeys(first, 0.0))
    assert (found.better, found.worse) == (["up"], ["down"])


def splits(task: str, *gains: float) -> list[Result]:
    """Results whose own intervals reach 0.05 to both sides."""
    return [
        result("hgb", task, 0.5, gain).model_copy(update={"repeat": i})
        for i, gain in enumerate(gains)
    ]


def test_a_csv_is_worse_than_the_baseline_over_its_splits_or_in_most_of_them_by_their_rows():
    over_all = splits("over all", *(-v for v in CLEAR))  # none of them by its own rows
    in_most = splits("in most", -0.06, -0.3, 0.2)
    in_half = splits("in half", -0.3, 0.29)
    alone = [*splits("alone", -0.06), *splits("unclear", -0.04)]
    assert worse_tasks([*over_all, *in_most, *in_half, *alone]) == ["over all", "in most", "alone"]


def against_hgb() -> EvaluationReport:
    report = a_report()
    results = [
        r.model_copy(update={"test": (r.test or 0) + 0.1 * (r.arm == "trained")})
        for r in report.results
    ]
    return report.model_copy(
        update={"against": pairs_against("hgb", ARMS, results), "results": results}
    )


def test_all_other_arms_are_held_against_the_one_that_was_named():
    pairs = against_hgb().against
    assert [(p.arm, p.against) for p in pairs] == [
        (arm, "hgb") for arm in ("untrained", "trained", "baseline")
    ]
    assert pairs[1].overall.mean == pytest.approx(0.1)


@pytest.mark.parametrize("render", [report_text, to_markdown])
def test_the_table_has_every_csv_and_all_of_them(render):
    text = render(against_hgb())
    for said in (
        "trained - hgb",
        "all tasks",
        "better, worse",
        "+0.100",
        "corrected resampled t-test",
    ):
        assert said in text
    assert EvaluationReport.model_validate(against_hgb().to_dict()) == against_hgb()


@pytest.mark.parametrize("render", [report_text, to_markdown])
def test_what_an_arm_makes_worse_is_counted_and_named(render):
    worse = a_report()
    arms = [
        a.model_copy(update={"worse_tasks": ["iris"] if a.arm == "hgb" else []}) for a in worse.arms
    ]
    assert "hgb 1 (iris)" in render(worse.model_copy(update={"arms": arms}))
