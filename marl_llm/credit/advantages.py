"""Group-relative advantages. Rewards, turn ids and group ids go in as arrays, advantages and the
reason why a row was left out come out.

The credit rule in words: a group holds turns that started from the same state; a turn holds one or
more calls (rows). A turn's return is the mean reward of its rows, a group's baseline is the mean
return of its turns (with `leave_one_out`, of the *other* turns), and a row's advantage is its own
reward minus that baseline, so that each call pays for its own tokens. Edge cases: a group of one
turn has nothing to be compared with, a group whose turns all returned the same teaches nothing;
both are dropped and marked, never silently trained on. GAE over an agent's turns (PPO) is in `gae`.

References
----------
Shao et al. 2024, "DeepSeekMath" (group-relative baseline); Ahmadian et al. 2024, "Back to Basics"
(leave-one-out, RLOO); Liu et al. 2025, "Understanding R1-Zero-like Training" (why not to divide by
each group's own deviation).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Scale(StrEnum):
    """What centred rewards are divided by."""

    none = "none"
    group = "group"
    step = "step"
    role = "role"


class Reason(StrEnum):
    """Why a row is not trained on; empty for the rows that are."""

    kept = ""
    singleton = "singleton"
    too_small = "too_small"
    zero_variance = "zero_variance"


@dataclass(frozen=True, eq=False)
class GroupAdvantages:
    """Advantages of n rows, in the caller's row order.

    Attributes
    ----------
    advantage : ndarray of float64, shape (n,)
        0 where the row is dropped.
    reason : ndarray of str, shape (n,)
        A `Reason`; "" where the row is kept.
    turn_of_row, group_of_turn : ndarray of int64, shape (n,) and (n_turns,)
        Codes from 0 upwards: which turn a row, and which group a turn belongs to.
    group_reason : ndarray of str, shape (n_groups,)
        The `Reason` of each group.
    deviation : float
        Standard deviation of the kept rows' centred rewards, before scaling; 0.0 if no row is kept.
    clipped : int
        Number of advantages cut by `clip`.
    """

    advantage: np.ndarray
    reason: np.ndarray
    turn_of_row: np.ndarray
    group_of_turn: np.ndarray
    group_reason: np.ndarray
    deviation: float
    clipped: int

    @property
    def kept(self) -> np.ndarray:
        """Mask of the rows to train on, bool, shape (n,)."""
        return self.reason == Reason.kept


def group_relative(
    rewards: np.ndarray,
    groups: np.ndarray,
    turns: np.ndarray | None = None,
    *,
    leave_one_out: bool = False,
    scale: Scale | str = Scale.none,
    steps: np.ndarray | None = None,
    epsilon: float = 1e-6,
    min_group: int = 2,
    clip: float | None = None,
) -> GroupAdvantages:
    """Compare each row's reward with its group's baseline.

    Parameters
    ----------
    rewards : array of float, shape (n,)
        Reward of each row: the turn's shared reward plus the row's own costs (tokens, an analysis,
        a refusal).
    groups, turns : array of hashable, shape (n,)
        Group and turn of each row. Turn ids need only be unique within a group. Without `turns`
        every row is a turn of its own.
    leave_one_out : bool
        Baseline of a turn = mean return of the group's other turns; equals G / (G - 1) times the
        plain turn advantage.
    scale : {"none", "group", "step", "role"}
        Divide by nothing, by the standard deviation (ddof=1) of the group's turn returns, or by the
        standard deviation (ddof=0) of the centred rewards of all kept rows: those of the same step,
        or all. A step with a single kept group is divided by the deviation of all.
    steps : array of int, shape (n,), optional
        Step of the episode of each row, the same in a group; needed by `scale="step"`.
    epsilon : float
        Reward units. A group whose returns differ by no more counts as zero-variance; also added to
        every divisor.
    min_group : int
        Groups with fewer turns are dropped; at least 2.
    clip : float or None
        Advantages are cut to [-clip, clip] after scaling.

    Returns
    -------
    GroupAdvantages

    Raises
    ------
    ValueError
        Arrays of different lengths, rewards that are not finite, `min_group` below 2, an unknown
        scale, or `scale="step"` without `steps`.

    Examples
    --------
    Group "a" holds two turns, the second of two calls; group "b" has nothing to compare with.

    >>> found = group_relative([1.0, 0.0, 0.5, 9.0], ["a", "a", "a", "b"], [0, 1, 1, 2])
    >>> found.advantage.tolist()
    [0.375, -0.625, -0.125, 0.0]
    >>> found.reason.tolist()
    ['', '', '', 'singleton']
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    _check(rewards, groups, turns, min_group)
    turn_of_row, group_of_turn = _layout(groups, turns)
    group_of_row, sizes = group_of_turn[turn_of_row], np.bincount(group_of_turn)
    returns = _means(rewards, turn_of_row, len(group_of_turn))
    group_reason = _group_reasons(returns, group_of_turn, sizes, min_group, epsilon)
    reason = group_reason[group_of_row]
    kept = reason == Reason.kept

    baseline = _baselines(returns, group_of_turn, sizes, leave_one_out)
    centred = np.where(kept, rewards - baseline[turn_of_row], 0.0)
    deviation = float(centred[kept].std()) if kept.any() else 0.0
    if Scale(scale) is Scale.step:
        divisors = _step_deviations(centred, kept, group_of_row, steps, deviation) + epsilon
    else:
        divisors = _divisors(Scale(scale), returns, group_of_turn, sizes, deviation, epsilon)[
            group_of_row
        ]
    advantage = centred / divisors
    limited = advantage if clip is None else np.clip(advantage, -clip, clip)
    clipped = int((limited != advantage).sum())
    return GroupAdvantages(
        limited, reason, turn_of_row, group_of_turn, group_reason, deviation, clipped
    )


def _check(
    rewards: np.ndarray, groups: np.ndarray, turns: np.ndarray | None, min_group: int
) -> None:
    if len(groups) != len(rewards) or (turns is not None and len(turns) != len(rewards)):
        raise ValueError("rewards, groups and turns must have the same length")
    if not np.isfinite(rewards).all():
        raise ValueError("rewards must be finite")
    if min_group < 2:
        raise ValueError(
            "min_group must be at least 2: a single turn has nothing to be compared with"
        )


def _layout(groups: np.ndarray, turns: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Turn of each row, shape (n,), and group of each turn, shape (n_turns,), as codes from 0."""
    group_of_row = _codes(groups)
    rows = np.arange(len(group_of_row))
    turn_of_row = (
        rows if turns is None else _codes(np.stack([group_of_row, _codes(turns)], axis=1), axis=0)
    )
    group_of_turn = np.zeros(int(turn_of_row.max(initial=-1)) + 1, dtype=np.int64)
    group_of_turn[turn_of_row] = group_of_row
    return turn_of_row, group_of_turn


def _codes(ids: np.ndarray, axis: int | None = None) -> np.ndarray:
    return np.unique(np.asarray(ids), return_inverse=True, axis=axis)[1].reshape(-1)


def _means(values: np.ndarray, code: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(code, weights=values, minlength=count) / np.bincount(code, minlength=count)


def _group_reasons(
    returns: np.ndarray,
    group_of_turn: np.ndarray,
    sizes: np.ndarray,
    min_group: int,
    epsilon: float,
) -> np.ndarray:
    high, low = np.full(len(sizes), -np.inf), np.full(len(sizes), np.inf)
    np.maximum.at(high, group_of_turn, returns)
    np.minimum.at(low, group_of_turn, returns)
    choices = [sizes == 1, sizes < min_group, high - low <= epsilon]
    return np.select(
        choices, [Reason.singleton, Reason.too_small, Reason.zero_variance], Reason.kept
    ).astype(str)


def _baselines(
    returns: np.ndarray, group_of_turn: np.ndarray, sizes: np.ndarray, leave_one_out: bool
) -> np.ndarray:
    totals = np.bincount(group_of_turn, weights=returns, minlength=len(sizes))[group_of_turn]
    count = sizes[group_of_turn]
    if leave_one_out:
        return (totals - returns) / np.maximum(count - 1, 1)
    return totals / count


def _divisors(
    scale: Scale,
    returns: np.ndarray,
    group_of_turn: np.ndarray,
    sizes: np.ndarray,
    deviation: float,
    epsilon: float,
) -> np.ndarray:
    if scale is Scale.none:
        return np.ones(len(sizes))
    if scale is Scale.role:
        return np.full(len(sizes), deviation + epsilon)
    means = _means(returns, group_of_turn, len(sizes))
    squares = np.bincount(
        group_of_turn, weights=(returns - means[group_of_turn]) ** 2, minlength=len(sizes)
    )
    return np.sqrt(squares / np.maximum(sizes - 1, 1)) + epsilon


def _step_deviations(
    centred: np.ndarray,
    kept: np.ndarray,
    group_of_row: np.ndarray,
    steps: np.ndarray | None,
    deviation: float,
) -> np.ndarray:
    """Deviation of the kept rows of each row's step, shape (n,). Raises ValueError without a step
    for each row.
    """
    if steps is None or len(steps) != len(centred):
        raise ValueError('scale="step" needs the step of each row')
    steps = np.asarray(steps)
    found = np.full(len(centred), deviation)
    for step in np.unique(steps[kept]):
        members = kept & (steps == step)
        if len(np.unique(group_of_row[members])) > 1:
            found[steps == step] = centred[members].std()
    return found
