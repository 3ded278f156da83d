from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr

from marl_llm.metrics import corrected_resampled_t
from marl_llm.metrics.sequential import futility_bounds, is_hopeless, supremum_t

differences = st.floats(-1, 1).map(lambda x: round(x, 6))


def t_statistic(values: np.ndarray, ratio: float) -> float:
    """Nadeau and Bengio's statistic, written down a second time."""
    spread = values.std(ddof=1) * math.sqrt(1 / len(values) + ratio)
    return (
        values.mean() / spread if spread > 1e-9 else math.copysign(math.inf, values.mean() - 1e-9)
    )


@settings(max_examples=200)
@given(st.lists(differences, min_size=1, max_size=5), st.lists(differences, min_size=1, max_size=5))
def test_no_completion_gives_a_larger_statistic_than_the_supremum(done, rest):
    k = len(done) + len(rest)
    ratio = 1 / (k - 1)
    assert t_statistic(np.array(done + rest), ratio) <= supremum_t(np.array(done), k, ratio) * (
        1 + 1e-6
    )


@settings(max_examples=100)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=5), st.integers(1, 5))
def test_equal_folds_of_the_right_size_reach_the_supremum(done, left):
    values, k = np.array(done), len(done) + left
    mean, squares = values.mean(), ((values - values.mean()) ** 2).sum()
    best = mean + squares / (len(done) * mean)
    reached = t_statistic(np.array([*done, *[best] * left]), 0.25)
    assert reached == pytest.approx(supremum_t(values, k, 0.25), rel=1e-6) or squares < 1e-12


@settings(max_examples=300)
@given(st.lists(differences, min_size=3, max_size=8), st.data())
def test_without_error_nothing_is_stopped_that_the_full_test_finds_significant(values, data):
    k, level = len(values), data.draw(st.sampled_from([0.01, 0.05, 0.2]))
    if corrected_resampled_t(np.array(values), 100 * (k - 1), 100, level=level).significant:
        assert not any(
            is_hopeless(np.array(values[:j]), k, 100 * (k - 1), 100, level=level, error=0)
            for j in range(k + 1)
        )


@pytest.mark.parametrize("k", [3, 5, 10])
@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_few_gains_are_lost_whatever_their_size(k, shared):
    """Fresh random numbers, effects between those simulated, and folds that move together as
    training sets overlap.
    """
    error, paths, ratio, rng = 0.02, 20_000, 1 / (k - 1), np.random.default_rng(k)
    bounds = futility_bounds(k, round(ratio, 2), 0.05, error)
    for effect in np.arange(0.1, 6, 0.35):
        values = effect + rng.normal(size=(paths, k)) + shared * rng.normal(size=(paths, 1))
        spread = values.std(axis=1, ddof=1) * math.sqrt(1 / k + ratio)
        found = values[stdtr(k - 1, -values.mean(axis=1) / spread) <= 0.05]
        stopped = np.zeros(len(found), bool)
        for j, bound in enumerate(bounds, start=1):
            done = found[:, :j]
            with np.errstate(divide="ignore"):
                stopped |= done.mean(axis=1) / (done.std(axis=1) * math.sqrt(j)) < bound
        assert stopped.sum() / paths <= error + 3 * math.sqrt(error / paths)


def test_the_bounds_are_those_that_single_candidates_meet():
    rng = np.random.default_rng(1)
    for values in 0.7 + rng.normal(size=(200, 5)):
        for j, bound in enumerate(futility_bounds(5, 0.25, 0.05, 0.02), start=1):
            done = values[:j]
            standing = (
                done.mean() / math.sqrt(((done - done.mean()) ** 2).sum())
                if j > 1
                else done[0] * math.inf
            )
            assert is_hopeless(done, 5, 400, 100) == (standing < bound)


@pytest.mark.parametrize(("k", "saved"), [(3, 0.45), (5, 0.55), (10, 0.55)])
def test_noise_is_mostly_stopped_early(k, saved):
    rng = np.random.default_rng(0)
    used = 0
    for _ in range(300):
        values = rng.normal(size=k)
        used += next((j for j in range(1, k) if is_hopeless(values[:j], k, 100 * (k - 1), 100)), k)
    assert 1 - used / (300 * k) > saved


def test_with_three_folds_the_first_one_without_a_gain_decides_exactly():
    assert is_hopeless(np.array([0.0]), 3, 200, 100, error=0)
    assert is_hopeless(np.array([-0.1]), 3, 200, 100, error=0)
    assert not is_hopeless(np.array([1e-6]), 3, 200, 100, error=0)


def test_a_steady_gain_is_never_hopeless():
    for k in (2, 3, 5, 10):
        values = 0.1 + 0.001 * np.arange(k)
        assert not any(is_hopeless(values[:j], k, 100 * (k - 1), 100) for j in range(1, k))


def test_nothing_is_decided_before_the_first_fold_or_left_to_decide_after_the_last():
    assert not is_hopeless(np.array([]), 3, 200, 100)
    assert not is_hopeless(np.array([-1.0, -1.0, -1.0]), 3, 200, 100)


def test_more_error_stops_more_and_bounds_are_reproducible():
    exact, some, more = (futility_bounds(10, 0.11, 0.05, error) for error in (0, 0.01, 0.1))
    assert all(a <= b <= c for a, b, c in zip(exact, some, more, strict=True)) and exact != more
    futility_bounds.cache_clear()
    assert futility_bounds(10, 0.11, 0.05, 0.1) == more
