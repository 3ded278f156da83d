"""Advantages against hand calculation, and the properties every group-relative baseline must
have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.credit.advantages import Reason, Scale, group_relative

REWARDS = np.array([1.0, 2.0, 0.0, 3.0, 5.0, 0.5, 0.5, 7.0])
GROUPS = np.array(["a", "a", "a", "a", "b", "c", "c", "b"])
TURNS = np.array(["t1", "t1", "t2", "t3", "t1", "t1", "t2", "t2"])
# group a: turns return 1.5, 0, 3 (baseline 1.5); b: 5, 7 (baseline 6); c: 0.5, 0.5
CENTRED = np.array([-0.5, 0.5, -1.5, 1.5, -1.0, 0.0, 0.0, 1.0])


@st.composite
def _tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 30))
    value = st.floats(-3, 3, allow_nan=False, width=32)
    rewards = np.array(draw(st.lists(value, min_size=count, max_size=count)))
    groups = np.array(draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)))
    turns = np.array(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    return rewards, groups, turns


def test_each_call_pays_for_its_own_tokens_against_the_mean_of_turn_means() -> None:
    result = group_relative(REWARDS, GROUPS, TURNS)
    np.testing.assert_allclose(result.advantage, CENTRED)
    assert result.reason.tolist() == [
        "",
        "",
        "",
        "",
        "",
        Reason.zero_variance,
        Reason.zero_variance,
        "",
    ]


def test_leave_one_out_baseline_is_the_mean_of_the_other_turns() -> None:
    result = group_relative(REWARDS, GROUPS, TURNS, leave_one_out=True)
    # others of t1: (0 + 3) / 2 = 1.5; of t2: (1.5 + 3) / 2 = 2.25; of t3: 0.75; in b the other turn
    # itself
    np.testing.assert_allclose(result.advantage, [-0.5, 0.5, -2.25, 2.25, -2.0, 0.0, 0.0, 2.0])


def test_scale_role_divides_by_the_deviation_over_all_kept_rows() -> None:
    kept = CENTRED[[0, 1, 2, 3, 4, 7]]
    result = group_relative(REWARDS, GROUPS, TURNS, scale="role", epsilon=1e-9)
    np.testing.assert_allclose(result.advantage, CENTRED / kept.std(), rtol=1e-6)
    assert result.deviation == pytest.approx(np.sqrt(7 / 6))


def test_scale_group_divides_by_the_deviation_of_the_groups_own_turns() -> None:
    result = group_relative(REWARDS, GROUPS, TURNS, scale="group", epsilon=1e-9)
    deviations = np.where(GROUPS == "a", np.std([1.5, 0, 3], ddof=1), np.sqrt(2))
    np.testing.assert_allclose(result.advantage, CENTRED / deviations, rtol=1e-6)


def test_scale_step_divides_by_the_deviation_over_the_kept_rows_of_the_step() -> None:
    """Two groups at step 0 (centred -1, 1, -3, 3: deviation sqrt(5)), one alone at step 1 (-2, 2):
    deviation of all.
    """
    rewards = np.array([4.0, 6.0, -3.0, 3.0, 1.0, 5.0, 7.0, 7.0])
    groups, steps = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    result = group_relative(rewards, groups, scale="step", steps=steps, epsilon=1e-9)
    first, whole = np.sqrt(5), np.sqrt((1 + 1 + 9 + 9 + 4 + 4) / 6)
    expected = [-1 / first, 1 / first, -3 / first, 3 / first, -2 / whole, 2 / whole, 0, 0]
    np.testing.assert_allclose(result.advantage, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="step of each row"):
        group_relative(rewards, groups, scale="step")


def test_group_of_one_turn_is_dropped_and_named_even_if_it_has_several_calls() -> None:
    result = group_relative(np.array([1.0, 5.0]), np.array(["a", "a"]), np.array(["t", "t"]))
    assert result.reason.tolist() == [Reason.singleton] * 2
    assert not result.kept.any() and not result.advantage.any()


def test_groups_below_the_wanted_size_are_dropped_under_another_name_than_singletons() -> None:
    result = group_relative(np.array([1.0, 5.0, 2.0]), np.array([0, 0, 1]), min_group=3)
    assert result.reason.tolist() == [Reason.too_small, Reason.too_small, Reason.singleton]


def test_advantages_are_cut_after_scaling_and_counted() -> None:
    rewards = np.array([0.0] * 9 + [100.0])
    result = group_relative(rewards, np.zeros(10), scale=Scale.role, clip=2.0)
    assert result.advantage.max() == 2.0
    assert result.clipped == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rewards": np.array([np.nan]), "groups": np.array([0])}, "finite"),
        ({"rewards": np.zeros(2), "groups": np.zeros(1)}, "length"),
        ({"rewards": np.zeros(2), "groups": np.zeros(2), "min_group": 1}, "min_group"),
        ({"rewards": np.zeros(2), "groups": np.zeros(2), "scale": "batch"}, "batch"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_relative(**arguments)


@settings(max_examples=60, deadline=None)
@given(_tables(), st.sampled_from(list(Scale)), st.booleans(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(
    table: tuple, scale: Scale, leave_one_out: bool, random: object
) -> None:
    order = np.arange(len(table[0]))
    random.shuffle(order)  # type: ignore[attr-defined]
    options: dict[str, Any] = {"scale": scale, "leave_one_out": leave_one_out, "epsilon": 1e-3}
    steps = table[1] % 2
    straight = group_relative(*table, **options, steps=steps)
    shuffled = group_relative(*(column[order] for column in table), **options, steps=steps[order])
    np.testing.assert_allclose(shuffled.advantage, straight.advantage[order], atol=1e-9)
    assert (shuffled.reason == straight.reason[order]).all()


@settings(max_examples=60, deadline=None)
@given(_tables(), st.sampled_from(list(Scale)), st.booleans(), st.integers(-8, 8))
def test_a_constant_added_to_a_group_changes_nothing(
    table: tuple, scale: Scale, loo: bool, shift: int
) -> None:
    rewards, groups, turns = table
    options: dict[str, Any] = {
        "scale": scale,
        "leave_one_out": loo,
        "epsilon": 1e-3,
        "steps": groups % 2,
    }
    before = group_relative(rewards, groups, turns, **options)
    spread = np.array([np.ptp(rewards[groups == group]) for group in groups])
    if ((spread > 0) & (spread < 2e-3)).any():
        return  # at the threshold rounding decides
    after = group_relative(rewards + shift * (groups == 0), groups, turns, **options)
    np.testing.assert_allclose(after.advantage, before.advantage, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(_tables())
def test_leave_one_out_is_the_plain_advantage_times_g_over_g_minus_one(table: tuple) -> None:
    rewards, groups, _ = table
    plain, other = (
        group_relative(rewards, groups),
        group_relative(rewards, groups, leave_one_out=True),
    )
    sizes = np.array([(groups == group).sum() for group in groups])
    np.testing.assert_allclose(
        other.advantage, plain.advantage * sizes / np.maximum(sizes - 1, 1), atol=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(_tables())
def test_turn_advantages_of_a_group_sum_to_zero(table: tuple) -> None:
    rewards, groups, turns = table
    result = group_relative(rewards, groups, turns)
    for group in np.unique(groups):
        mine = groups == group
        means = [result.advantage[mine & (turns == turn)].mean() for turn in np.unique(turns[mine])]
        assert abs(sum(means)) < 1e-6
