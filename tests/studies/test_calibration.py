"""Simulated comparisons with a known true gain: no more false gains than the level allows, and real
ones found.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from calibration.figures import table, too_many
from calibration.folds import fold_settings
from calibration.holdout import holdout_settings
from calibration.rates import GAINS, ROWS, Job, Rate, jobs, measure
from scipy import stats
from significance import main

BOOTSTRAP, T_TEST = "paired bootstrap", "corrected resampled t"


def rate(test: str, setting: str, n: int = 300, gain: float = 0.0, comparisons: int = 200) -> Rate:
    return measure(Job(test, setting, n, gain, comparisons, 0.05))


@pytest.mark.parametrize(
    ("test", "setting", "n"),
    [
        (BOOTSTRAP, "binary, 50%", 300),
        (BOOTSTRAP, "binary, 5%, f1", 300),
        (BOOTSTRAP, "binary, 5%, overconfident", 100),
        (BOOTSTRAP, "binary, 5%, overconfident, swapped", 100),
        (BOOTSTRAP, "regression, Laplace errors", 300),
        (T_TEST, "binary, 5%, 3 folds", 300),
        (T_TEST, "regression, 10 folds", 300),
        (T_TEST, "regression, 3 folds x 5", 100),
    ],
)
def test_the_false_gain_rate_stays_at_the_level(test: str, setting: str, n: int) -> None:
    found = rate(test, setting, n)
    assert found.low <= 0.05, found
    assert abs(found.mean_gain) < 0.02


def test_textbook_degrees_of_freedom_would_find_false_gains_in_repeated_validation() -> None:
    setting = next(
        setting for setting in fold_settings() if setting.name == "regression, 3 folds x 5"
    )
    p_values = []
    for seed in range(200):
        differences = setting.differences(np.random.default_rng(seed), 99, setting.strength(0, 99))
        scale = np.sqrt((1 / 15 + 1 / 2) * np.var(differences, ddof=1))
        p_values.append(stats.t.sf(differences.mean() / scale, df=14))
    assert stats.binomtest(int(np.sum(np.array(p_values) <= 0.05)), 200).proportion_ci().low > 0.05


@pytest.mark.parametrize(
    "name", ["binary, 5%, overconfident", "regression, Laplace errors, swapped"]
)
def test_unlike_models_without_a_true_gain_have_none_on_very_many_rows(name: str) -> None:
    setting = next(setting for setting in holdout_settings() if setting.name == name)
    noise, rng, gains = setting.strength(0, 0), np.random.default_rng(0), []
    for _ in range(20):
        y, before, after = setting.pair(rng.random((20_000, setting.n_dimensions)), noise)
        gains.append(
            setting.goal.gain(y, before, after, setting.goal.reference(y, setting.n_classes))
        )
    assert stats.ttest_1samp(gains, 0).pvalue > 0.001  # pyright: ignore[reportAttributeAccessIssue]
    assert stats.sem(gains) < 0.004
    assert not np.array_equal(before.labels, after.labels)


def test_a_larger_true_gain_and_more_rows_are_found_more_often() -> None:
    few, large, many = (
        rate(BOOTSTRAP, "regression", n, gain, 60)
        for n, gain in ((300, 0.02), (300, 0.05), (1000, 0.05))
    )
    assert few.rate < large.rate < many.rate
    assert many.mean_gain == pytest.approx(0.05, abs=0.01)


def test_the_t_test_is_simulated_on_models_with_the_gain_asked_for() -> None:
    found = rate(T_TEST, "regression, 10 folds", 1000, 0.05, 60)
    assert found.mean_gain == pytest.approx(0.05, abs=0.01) and found.rate > 0.3


def test_the_same_job_gives_the_same_figures() -> None:
    first, again = (rate(BOOTSTRAP, "3 classes", 100, comparisons=10) for _ in range(2))
    assert first == again


def test_every_powered_setting_is_measured_at_every_gain_and_number_of_rows() -> None:
    work = jobs(500, 0.05)
    assert {(job.gain, job.n) for job in work if job.setting == "regression"} == {
        (gain, n) for gain in (0.0, *GAINS) for n in ROWS
    }
    assert len(work) == len(set(work)) and {job.test for job in work} == {BOOTSTRAP, T_TEST}


def test_a_rate_above_the_level_is_named() -> None:
    good = Rate(BOOTSTRAP, "binary, 50%", 300, 0.0, 500, 0.05, 30, 0.06, 0.04, 0.08, 0.0)
    bad = Rate(T_TEST, "regression", 1000, 0.0, 500, 0.05, 50, 0.1, 0.08, 0.13, 0.0)
    assert too_many([good, bad]) == [bad]
    assert "10.0 [8.0, 13.0]" in table([good, bad])


def test_the_command_prints_a_table_and_writes_figures_and_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plot = tmp_path / "rates.json", tmp_path / "rates.png"
    main(
        [
            "--comparisons",
            "4",
            "--only",
            "regression, 3 folds x",
            "--out",
            str(out),
            "--plot",
            str(plot),
        ]
    )
    shown = capsys.readouterr().out
    assert (
        "regression, 3 folds x 5" in shown and "No false-gain rate of 2 is above the level" in shown
    )
    assert [entry["n"] for entry in json.loads(out.read_text())["rates"]] == [300, 1000]
    assert plot.stat().st_size > 1000


def test_the_committed_figures_show_no_false_gain_rate_above_the_level() -> None:
    entries = json.loads(
        (Path(__file__).parents[2] / "data/results/significance.json").read_text()
    )["rates"]
    rates = [Rate(**entry) for entry in entries]
    assert {(r.test, r.setting, r.n, r.gain) for r in rates} == {
        (j.test, j.setting, j.n, j.gain) for j in jobs(500, 0.05)
    }
    assert all(r.comparisons >= 500 for r in rates) and not too_many(rates)
