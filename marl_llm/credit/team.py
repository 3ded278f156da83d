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
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from marl_llm.core.frames import (
    cells,
    chosen,
    equal,
    floats,
    group_numbers,
    integers,
    texts,
    with_columns,
)
from marl_llm.core.roles import ML_ENGINEER
from marl_llm.credit.advantages import GroupAdvantages, Reason
from marl_llm.credit.columns import require_columns

TEAM_COLUMNS = ["step", "action", "metrics_after", "reward_metric_delta"]
"""What the team's return is read from, besides the row key."""

_Turn = tuple[int, str]
"""The number of a turn's episode, and its branch."""
_Name = tuple[object, ...]


@dataclass(frozen=True)
class _Proposal:
    """What a row of the Data Scientist says of its proposal.

    Attributes
    ----------
    place : int
        Number of the episode.
    measured : object
        The reference implementation's metrics as JSON text, "" or missing where nothing ran.
    """

    place: int
    branch: str
    step: object
    action: object
    measured: object

    @property
    def turn(self) -> _Turn:
        """The turn that proposed it."""
        return self.place, self.branch

    @property
    def names(self) -> list[_Name]:
        """What equal proposals of a step have in common."""
        names: list[_Name] = [(self.place, self.step, "action", self.action)]
        if self.measured not in ("", "{}", None):
            names.append((self.place, self.step, "metrics", self.measured))
        return names


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
    rows = with_columns(rows, place=group_numbers(rows, scope))
    mine = chosen(rows, equal(rows, "role", role))
    if role == ML_ENGINEER:
        return floats(mine, "reward_metric_delta")
    gains = _gains_by_proposal(chosen(rows, equal(rows, "role", ML_ENGINEER)))
    proposals = _proposals(mine)
    shared: dict[_Name, float] = {}
    for proposal in proposals:
        if proposal.turn in gains:
            for name in proposal.names:
                shared.setdefault(name, gains[proposal.turn])
    return np.array([_return(proposal, gains, shared) for proposal in proposals], np.float64)


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


def _proposals(rows: pd.DataFrame) -> list[_Proposal]:
    return [
        _Proposal(int(place), branch, step, action, measured)
        for place, branch, step, action, measured in zip(
            integers(rows, "place"),
            texts(rows, "branch"),
            cells(rows, "step"),
            cells(rows, "action"),
            cells(rows, "metrics_after"),
            strict=True,
        )
    ]


def _gains_by_proposal(implementations: pd.DataFrame) -> dict[_Turn, float]:
    """Mean gain of each proposal's implementations, by place and branch; all calls of a turn carry
    the turn's gain.
    """
    turns = implementations.drop_duplicates(["place", "branch"])
    gains: dict[_Turn, list[float]] = defaultdict(list)
    for place, branch, gain in zip(
        integers(turns, "place"),
        texts(turns, "branch"),
        floats(turns, "reward_metric_delta"),
        strict=True,
    ):
        proposal = branch.rpartition(".")[0]  # "1.d2.e0" implements "1.d2"
        gains[int(place), proposal].append(float(gain))
    return {proposal: sum(found) / len(found) for proposal, found in gains.items()}


def _return(proposal: _Proposal, gains: dict[_Turn, float], shared: dict[_Name, float]) -> float:
    if proposal.turn in gains:
        return gains[proposal.turn]
    return next((shared[name] for name in proposal.names if name in shared), 0.0)
