"""Statistics over tasks against hand numbers and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from marl_llm.evaluation.statistics import (
    MIN_BOOTSTRAP_TASKS,
    bootstrap_ratio,
    clustered_mean,
    paired_difference,
    relative_gain,
    task_means,
    unpaired_difference,
)

finite = st.floats(-1, 1, allow_nan=False)


def test_each_task_weighs_the_same_however_often_it_was_repeated():
    estimate = clustered_mean([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])
    assert estimate.mean == 0.5
    assert (estimate.tasks, estimate.trials) == (2, 4)


def test_the_interval_is_students_t_on_the_task_means_by_hand():
    # means 0, 2, 4: mean 2, s 2, t(0.975, 2) = 4.302653
    estimate = clustered_mean([-1, 1, 2, 4], ["a", "a", "b", "c"])
    assert estimate.mean == 2
    assert estimate.low == pytest.approx(2 - 4.302653 * 2 / 3**0.5, abs=1e-5)
    assert estimate.high == pytest.approx(2 + 4.302653 * 2 / 3**0.5, abs=1e-5)


@given(st.lists(finite, min_size=3, max_size=20).filter(lambda v: np.std(v) > 1e-3))
def test_the_interval_agrees_with_scipys_t_test(values: list[float]):
    estimate = clustered_mean(values, list(range(len(values))))
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


@given(st.lists(finite, min_size=2, max_size=8), st.integers(2, 4))
def test_repeating_every_trial_does_not_narrow_the_interval(values: list[float], times: int):
    once = clustered_mean(values, list(range(len(values))))
    often = clustered_mean(values * times, list(range(len(values))) * times)
    assert (often.mean, often.low, often.high) == pytest.approx(
        (once.mean, once.low, once.high), abs=1e-9
    )


def test_one_task_has_a_mean_and_no_interval_and_none_has_neither():
    one, none = clustered_mean([0.2, 0.4], ["a", "a"]), clustered_mean([], [])
    assert one.mean == pytest.approx(0.3)
    assert (one.low, one.high) == (None, None)
    assert (none.mean, none.low, none.tasks) == (None, None, 0)


def test_values_that_are_not_finite_or_have_no_task_are_refused():
    with pytest.raises(ValueError, match="finite"):
        task_means([float("nan")], ["a"])
    with pytest.raises(ValueError, match="2 values for 1"):
        task_means([1, 2], ["a"])


def test_pairing_takes_out_what_the_tasks_have_in_common():
    hard_and_easy = {(f"t{i}", 0): i / 10 for i in range(10)}
    a_bit_better = {trial: score + 0.02 for trial, score in hard_and_easy.items()}
    difference = paired_difference(a_bit_better, hard_and_easy)
    assert difference.mean == pytest.approx(0.02)
    assert difference.low == pytest.approx(0.02)
    alone = clustered_mean(list(hard_and_easy.values()), [task for task, _ in hard_and_easy])
    assert alone.low is not None and alone.high is not None and alone.high - alone.low > 0.3


def test_a_difference_leaves_out_trials_that_one_arm_lacks():
    difference = paired_difference({("a", 0): 0.5, ("b", 0): 0.9}, {("a", 0): 0.4, ("c", 0): 0.1})
    assert (difference.tasks, difference.mean) == (1, pytest.approx(0.1))


def test_the_ratio_is_one_of_sums_by_hand():
    # 0.1 of 0.2 and 0.0 of 0.3 that was missing: 0.1 / 0.5
    assert relative_gain([0.9, 0.7], [0.8, 0.7], ["a", "b"]).mean == pytest.approx(0.2)


def test_a_difference_of_groups_is_welchs_on_the_task_means():
    rng = np.random.default_rng(3)
    first, second = rng.normal(1, 0.3, 4), rng.normal(0, 1, 9)
    values, tasks = (
        np.repeat(np.concatenate([first, second]), 2),
        np.repeat(np.arange(13), 2),
    )  # each trial twice
    found = unpaired_difference(values.tolist(), (tasks < 4).tolist(), tasks.tolist())
    theirs = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert (found.mean, found.tasks, found.trials) == (
        pytest.approx(first.mean() - second.mean()),
        13,
        26,
    )
    assert unpaired_difference([1.0, 2.0], [True, True], ["a", "b"]).mean is None
    assert unpaired_difference([1.0, 2.0, 3.0], [True, False, False], ["a", "b", "c"]).low is None
    assert (
        unpaired_difference(
            [1.0, 1.0, 2.0, 2.0], [True, True, False, False], ["a", "b", "c", "d"]
        ).low
        is None
    )


def test_the_bootstrap_agrees_with_scipys():
    rng = np.random.default_rng(0)
    above, below = rng.normal(0.1, 0.05, 30), rng.uniform(0.2, 0.6, 30)
    ours = bootstrap_ratio(above.tolist(), below.tolist(), list(range(30)), resamples=8000)
    theirs = stats.bootstrap(
        (above, below),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=8000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_too_few_tasks_are_not_resampled_and_a_ratio_to_nothing_is_none():
    few = ["a", "b", "c", "d"]
    assert len(few) < MIN_BOOTSTRAP_TASKS
    assert bootstrap_ratio([1, 2, 3, 4], [1, 1, 1, 1], few).low is None
    assert relative_gain([1.0, 1.0], [1.0, 1.0], ["a", "b"]).mean is None


def test_a_ratio_to_less_than_nothing_is_none_and_one_to_nearly_nothing_has_no_interval():
    worse, below = [-0.03] * 8, [-0.02, -0.01, -0.01, 0.0, 0.01, -0.02, -0.01, 0.0]
    assert bootstrap_ratio(worse, below, range(8)).mean is None, (
        "twice negative would look like a gain"
    )
    some = bootstrap_ratio([0.03] * 8, [-0.02, -0.01, 0.0, 0.01, 0.02, 0.0, 0.0, 0.01], range(8))
    assert some.mean == pytest.approx(24) and some.low is None and some.high is None


def test_the_t_interval_covers_and_the_bootstrap_of_few_tasks_is_narrower():
    rng = np.random.default_rng(3)
    samples = rng.normal(0.0, 1.0, (400, 6))
    intervals = [clustered_mean(sample.tolist(), range(6)) for sample in samples]
    covered = np.mean(
        [e.low is not None and e.high is not None and e.low <= 0 <= e.high for e in intervals]
    )
    resampled = [
        bootstrap_ratio(sample.tolist(), [1.0] * 6, range(6), resamples=400) for sample in samples
    ]
    narrow = np.mean(
        [e.low is not None and e.high is not None and e.low <= 0 <= e.high for e in resampled]
    )
    assert covered == pytest.approx(0.95, abs=0.03)
    assert narrow < covered
