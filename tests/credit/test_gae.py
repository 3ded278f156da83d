"""GAE over an agent's turns: against hand calculation, and against the textbook's sum over single
time steps.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.credit.gae import AgentTurn, episode_credit, explained_variance, whiten


def turn(step: int, rewards: list[float], values: list[float], **more: bool) -> AgentTurn:
    return AgentTurn(step, np.array(rewards), np.array(values), **more)


def test_two_turns_by_hand() -> None:
    turns = [turn(0, [0.0, 0.5], [0.1, 0.2]), turn(1, [-0.1, 1.0], [0.3, 0.4])]
    first, second = episode_credit(turns, gamma=0.9, lam=0.8)
    # last turn: returns -0.1 + 1.0 and 1.0, nothing beyond
    np.testing.assert_allclose(second.returns, [0.9, 1.0])
    np.testing.assert_allclose(second.advantage, [0.6, 0.6])
    # first turn: 0.5 now, then 0.9 x (0.3 + 0.8 x 0.6) = 0.702
    np.testing.assert_allclose(first.returns, [1.202, 1.202])
    np.testing.assert_allclose(first.advantage, [1.102, 1.002])
    assert (first.next_value, second.next_value) == (0.3, 0.0)
    np.testing.assert_allclose(first.seen, [0.5 + 0.9 * 0.9] * 2)


def _textbook(turns: list[AgentTurn], gamma: float, lam: float) -> np.ndarray:
    """A_t = sum over l of prod(gamma_i lambda_i) delta_(t+l), token by token, with gamma and lambda
    at turn ends.
    """
    rewards = np.concatenate([t.rewards for t in turns])
    values = np.append(np.concatenate([t.values for t in turns]), 0.0)
    ends = np.concatenate([[False] * (len(t.rewards) - 1) + [True] for t in turns])
    discount, decay = np.where(ends, gamma, 1.0), np.where(ends, lam, 1.0)
    deltas = rewards + discount * values[1:] - values[:-1]
    out = np.zeros(len(rewards))
    for start in range(len(rewards)):
        weight = 1.0
        for at in range(start, len(rewards)):
            out[start] += weight * deltas[at]
            weight *= discount[at] * decay[at]
    return out


@given(st.integers(0, 10**6), st.floats(0.1, 1), st.floats(0, 1))
def test_a_plain_episode_equals_the_sum_over_time_steps(
    seed: int, gamma: float, lam: float
) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, rng.integers(1, 5))
    turns = [AgentTurn(i, rng.normal(size=n), rng.normal(size=n)) for i, n in enumerate(sizes)]
    found = np.concatenate(
        [credit.advantage for credit in episode_credit(turns, gamma=gamma, lam=lam)]
    )
    np.testing.assert_allclose(found, _textbook(turns, gamma, lam), atol=1e-9)


def test_with_lambda_one_the_return_is_what_was_really_received() -> None:
    rng = np.random.default_rng(0)
    turns = [
        AgentTurn(step, rng.normal(size=3), rng.normal(size=3)) for step in (2, 0, 5)
    ]  # any order, gaps
    for credit in episode_credit(turns, gamma=0.7, lam=1.0):
        np.testing.assert_allclose(credit.returns, credit.seen)


def test_a_branch_not_followed_is_bootstrapped_with_the_state_the_episode_went_on_to() -> None:
    turns = [
        turn(0, [0.0], [0.1], followed=False),
        turn(0, [1.0], [0.1]),
        turn(1, [0.2], [0.5]),
        turn(1, [0.7], [0.5], followed=False),
    ]
    aside, taken, last, beside_last = episode_credit(turns, gamma=0.9, lam=0.5)
    assert aside.returns == pytest.approx([0.9 * 0.5]) and aside.seen is None
    assert taken.returns == pytest.approx([1 + 0.9 * (0.5 + 0.5 * (0.2 - 0.5))])
    assert last.returns == pytest.approx([0.2])
    assert beside_last.returns == pytest.approx([0.7]), (
        "the episode's last step is the last for all branches"
    )


def test_finishing_is_worth_nothing_more_while_the_others_keep_their_own_value() -> None:
    turns = [turn(0, [-0.1], [0.4], ends=True), turn(0, [0.2], [0.4], followed=False)]
    finished, other = episode_credit(turns, gamma=1.0, lam=1.0)
    assert finished.returns == pytest.approx([-0.1])
    assert other.returns == pytest.approx([0.2 + 0.4])
    gone_on = [
        turn(0, [-0.1], [0.4], ends=True, followed=False),
        turn(0, [0.2], [0.4]),
        turn(1, [0.3], [0.35]),
    ]
    assert episode_credit(gone_on, gamma=1.0, lam=0.0)[0].returns == pytest.approx([-0.1])


def test_an_engineer_whose_proposal_was_not_taken_learns_from_the_next_state_of_the_line() -> None:
    turns = [turn(0, [0.1], [0.2], followed=False), turn(2, [0.5], [0.6])]
    assert episode_credit(turns, gamma=0.5, lam=0.9)[0].returns == pytest.approx([0.1 + 0.5 * 0.6])


def test_stand_ins_never_change_the_order_of_turns_that_share_a_prompt() -> None:
    rewards = [0.3, -0.2, 0.1]
    for line in (
        [],
        [turn(0, [0.0], [0.4], ends=True)],
        [turn(0, [0.0], [0.4]), turn(1, [0.0], [0.9])],
    ):
        group = [turn(0, [r], [0.4], followed=False) for r in rewards]
        found = [c.advantage[0] for c in episode_credit([*group, *line], gamma=0.9, lam=0.9)[:3]]
        assert np.argsort(found).tolist() == [1, 2, 0]
        assert np.diff(found) == pytest.approx(np.diff(rewards))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at most one turn"):
        episode_credit([turn(0, [0.0], [0.0]), turn(0, [0.0], [0.0])], gamma=1, lam=1)
    with pytest.raises(ValueError, match="one reward and one value"):
        episode_credit([turn(0, [0.0, 1.0], [0.0])], gamma=1, lam=1)
    with pytest.raises(ValueError, match="at least one token"):
        episode_credit([turn(0, [], [])], gamma=1, lam=1)


def test_whitened_advantages_have_mean_zero_and_deviation_one_over_tokens() -> None:
    flat = np.concatenate(whiten([np.array([1.0, 2.0]), np.array([6.0])]))
    np.testing.assert_allclose(flat, (np.array([1, 2, 6]) - 3) / np.sqrt(14 / 3), rtol=1e-6)
    assert np.isfinite(np.concatenate(whiten([np.array([2.0, 2.0])]))).all()


def test_explained_variance_is_one_for_the_truth_and_nought_for_a_constant() -> None:
    returns = np.array([0.0, 1.0, 2.0])
    assert explained_variance(returns, returns + 5) == pytest.approx(1)
    assert explained_variance(returns, np.full(3, 0.7)) == pytest.approx(0)
    assert explained_variance(returns, np.array([0.0, 1.0, 1.0])) == pytest.approx(
        1 - (2 / 9) / (2 / 3)
    )
    assert explained_variance(np.ones(3), returns) is None
