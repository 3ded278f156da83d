"""The team's return: what a turn brought both agents, read from the logged rows. Rows of both roles
go in, one number per row of a role comes out; and the mix of two kinds of advantages.

An Engineer's turn brought the step's gain: `reward_metric_delta` of its rows, which is above zero
only for code that did as asked and gained significantly. A proposal brought the mean gain of its
implementations in the episode's tree, and nothing if there was nothing to implement. Of equal
proposals of a step only the first was implemented, so the others share its return: equal in words
(`action`), or in what their reference implementation measured (`metrics_after`). Penalties and
token costs are each role's own and no part of it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.core.roles import ML_ENGINEER
from marl_llm.credit.advantages import GroupAdvantages, Reason
from marl_llm.credit.columns import require_columns

TEAM_COLUMNS = ["step", "action", "metrics_after", "reward_metric_delta"]
"""What the team's return is read from, besides the row key."""


def team_returns(rows: pd.DataFrame, role: str) -> np.ndarray:
    """The team's return of each row of `role`, float64, shape (n,), in the order of `rows`; reward
    units.

    Parameters
    ----------
    rows : DataFrame
        Rows of both roles with `episode`, `branch`, `role` and `TEAM_COLUMNS`; where `run` and
        `iteration` are present, nothing reaches across them.
    role : str
        Whose rows are asked for.

    Raises
    ------
    UserError
        A missing column.
    """
    require_columns(rows, TEAM_COLUMNS, "credit.alpha above 0")
    scope = [name for name in ("run", "iteration") if name in rows] + ["episode"]
    rows = rows.assign(place=rows.groupby(scope, sort=False).ngroup())
    mine = rows.loc[rows["role"] == role]
    if role == ML_ENGINEER:
        return mine["reward_metric_delta"].to_numpy(np.float64)
    gains = _gains_by_proposal(rows.loc[rows["role"] == ML_ENGINEER])
    proposals = mine.to_dict("records")
    equal: dict[tuple, float] = {}
    for proposal in proposals:
        if (proposal["place"], proposal["branch"]) in gains:
            for name in _names(proposal):
                equal.setdefault(name, gains[proposal["place"], proposal["branch"]])
    return np.array([_return(proposal, gains, equal) for proposal in proposals], np.float64)


def mix(
    own: GroupAdvantages, team: GroupAdvantages, alpha: float, clip: float | None = None
) -> GroupAdvantages:
    """(1 - alpha) x own + alpha x team advantage, of the same rows in the same groups.

    Both are scaled by their own deviation before, so `alpha` weighs two numbers of the same size
    whatever the units of the rewards.

    Parameters
    ----------
    own, team : GroupAdvantages
        Not cut yet.
    alpha : float
        In [0, 1].
    clip : float or None
        The mix is cut to [-clip, clip].

    Returns
    -------
    GroupAdvantages
        A group is dropped if no part with a weight above zero tells its turns apart. `deviation` is
        that of `own`.
    """
    advantage = (1 - alpha) * own.advantage + alpha * team.advantage
    limited = advantage if clip is None else np.clip(advantage, -clip, clip)
    parts = [part for part, weight in ((own, 1 - alpha), (team, alpha)) if weight > 0]
    telling = np.any([part.group_reason == Reason.kept for part in parts], axis=0)
    group_reason = np.where(telling, str(Reason.kept), parts[-1].group_reason)
    return replace(
        own,
        advantage=limited,
        reason=group_reason[own.group_of_turn[own.turn_of_row]],
        group_reason=group_reason,
        clipped=int((limited != advantage).sum()),
    )


def _gains_by_proposal(implementations: pd.DataFrame) -> dict[tuple, float]:
    """Mean gain of each proposal's implementations, by place and branch; all calls of a turn carry
    the turn's gain.
    """
    turns = implementations.drop_duplicates(["place", "branch"])
    gains: dict[tuple, list[float]] = defaultdict(list)
    for place, branch, gain in zip(
        turns["place"], turns["branch"], turns["reward_metric_delta"], strict=True
    ):
        gains[place, branch.rpartition(".")[0]].append(float(gain))  # "1.d2.e0" implements "1.d2"
    return {proposal: sum(found) / len(found) for proposal, found in gains.items()}


def _names(proposal: dict[Any, Any]) -> list[tuple]:
    """What equal proposals of a step have in common."""
    where, measured = (proposal["place"], proposal["step"]), proposal["metrics_after"]
    names: list[tuple] = [(*where, "action", proposal["action"])]
    return [*names, (*where, "metrics", measured)] if measured not in ("", "{}", None) else names


def _return(
    proposal: dict[Any, Any], gains: dict[tuple, float], equal: dict[tuple, float]
) -> float:
    mine = gains.get((proposal["place"], proposal["branch"]))
    return (
        next((equal[name] for name in _names(proposal) if name in equal), 0.0)
        if mine is None
        else mine
    )
