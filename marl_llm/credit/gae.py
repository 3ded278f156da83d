"""Generalised advantage estimation over one agent's turns of an episode. Rewards and values per
token go in, advantages and returns per token come out. Pure numpy.

A turn is all tokens the agent sampled in it, over all its calls; the discount gamma and lambda
apply from one of the agent's turns to its next, inside a turn both are 1. So with R the rewards of
a turn's tokens, V the critic's values before each token, V' and A' the first value and advantage of
the agent's next turn,

    return_t = R_t + R_(t+1) + ... + R_T + gamma (V' + lambda A')      advantage_t = return_t - V_t

An episode may be a tree: at each step several turns, of which the episode followed at most one.
What comes after a followed turn was seen. A turn that was not followed is bootstrapped: nothing it
led to was played, so A' = 0 and V' is the value of the state the episode went on to after that step
(0 if the step was the last). Where the line followed ended because the agent's other turn ended the
episode, nothing later is known, and the turn's own first value stands in. Both stand-ins are the
same for all turns of a step that share a prompt, so they shift them together and leave their order
alone; only a turn that itself ends the episode has V' = 0 for certain.

References
----------
Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class AgentTurn:
    """One turn of an agent, T > 0 tokens.

    Attributes
    ----------
    step : int
        Of the episode.
    rewards : ndarray of float64, shape (T,)
        Received after each token.
    values : ndarray of float64, shape (T,)
        The critic's estimate before each token, of the rewards still to come.
    followed : bool
        The episode went on from this turn.
    ends : bool
        The turn would end the episode, followed or not.
    """

    step: int
    rewards: np.ndarray
    values: np.ndarray
    followed: bool = True
    ends: bool = False


@dataclass(frozen=True, eq=False)
class TurnCredit:
    """What GAE says of a turn of T tokens.

    Attributes
    ----------
    advantage, returns : ndarray of float64, shape (T,)
        `returns` is the lambda-return, the critic's target; advantage = returns - values.
    next_value : float
        V' of the module's text.
    seen : ndarray of float64, shape (T,), or None
        The discounted rewards that were really received from each token on; None for turns not
        followed.
    """

    advantage: np.ndarray
    returns: np.ndarray
    next_value: float
    seen: np.ndarray | None


def episode_credit(turns: Sequence[AgentTurn], *, gamma: float, lam: float) -> list[TurnCredit]:
    """Credit for all turns of one agent in one episode.

    Parameters
    ----------
    turns : sequence of AgentTurn
        In any order; at most one of a step is followed.
    gamma, lam : float
        Discount and lambda in [0, 1], from one turn to the next.

    Returns
    -------
    list of TurnCredit
        In the order of `turns`.

    Raises
    ------
    ValueError
        Two turns of a step are followed, a turn has no tokens, or rewards and values differ in
        length.

    Examples
    --------
    A reward of 1 for the last turn reaches the first one through gamma; inside a turn nothing is
    lost.

    >>> first = AgentTurn(0, rewards=np.array([0.0, 0.0]), values=np.array([0.5, 0.5]))
    >>> last = AgentTurn(1, rewards=np.array([1.0]), values=np.array([0.25]), ends=True)
    >>> for credit in episode_credit([first, last], gamma=0.5, lam=1.0):
    ...     print(credit.returns.tolist(), credit.advantage.tolist())
    [0.5, 0.5] [0.0, 0.0]
    [1.0] [0.75]
    """
    line = sorted((turn for turn in turns if turn.followed), key=lambda turn: turn.step)
    _check(turns, line)
    credits: dict[int, TurnCredit] = {}
    advantage, seen = 0.0, 0.0  # of the next turn's first token
    for turn in reversed(line):
        bootstrap = _next_value(turn, line)
        found = _credit(turn, bootstrap, gamma * (bootstrap + lam * advantage), gamma * seen)
        advantage, seen = float(found.advantage[0]), float(_to_come(turn.rewards)[0] + gamma * seen)
        credits[id(turn)] = found
    for turn in turns:
        if not turn.followed:
            bootstrap = _next_value(turn, line)
            credits[id(turn)] = _credit(turn, bootstrap, gamma * bootstrap, None)
    return [credits[id(turn)] for turn in turns]


def whiten(advantages: Sequence[np.ndarray], epsilon: float = 1e-8) -> list[np.ndarray]:
    """Shift and scale to mean 0 and standard deviation 1 over all tokens; arrays of shape (T_i,)
    each.
    """
    flat = np.concatenate(list(advantages))
    return [(advantage - flat.mean()) / (flat.std() + epsilon) for advantage in advantages]


def explained_variance(returns: np.ndarray, values: np.ndarray) -> float | None:
    """1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than a constant; None if
    returns are all alike. Arrays of shape (n,).

    >>> returns = np.array([0.0, 1.0, 2.0])
    >>> explained_variance(returns, returns + 5), explained_variance(returns, np.ones(3))
    (1.0, 0.0)
    """
    spread = float(np.var(returns)) if len(returns) else 0.0
    return None if spread <= 1e-16 else 1 - float(np.var(returns - values)) / spread


def _check(turns: Sequence[AgentTurn], line: Sequence[AgentTurn]) -> None:
    if len({turn.step for turn in line}) != len(line):
        raise ValueError("an episode follows at most one turn of an agent in each step")
    if any(len(turn.rewards) != len(turn.values) or not len(turn.values) for turn in turns):
        raise ValueError(
            "a turn needs one reward and one value for each of its tokens, and at least one token"
        )


def _next_value(turn: AgentTurn, line: Sequence[AgentTurn]) -> float:
    if turn.ends:
        return 0.0
    later = next((other for other in line if other.step > turn.step), None)
    if later is not None:
        return float(later.values[0])
    over = turn.followed or any(other.step == turn.step and not other.ends for other in line)
    return 0.0 if over else float(turn.values[0])


def _credit(turn: AgentTurn, bootstrap: float, beyond: float, seen: float | None) -> TurnCredit:
    rewards = _to_come(turn.rewards)
    returns = rewards + beyond
    return TurnCredit(
        returns - turn.values, returns, bootstrap, None if seen is None else rewards + seen
    )


def _to_come(rewards: np.ndarray) -> np.ndarray:
    """Sum of the rewards from each token on, shape (T,)."""
    return np.cumsum(np.asarray(rewards, np.float64)[::-1])[::-1]
