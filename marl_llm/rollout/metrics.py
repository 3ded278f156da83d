"""Figures of a set of trajectories: what an iteration's report and the learning curve show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.rollout.figures import Played, mean, nested, values
from marl_llm.rollout.summary import EpisodeSummary


def team_metrics(rows: pd.DataFrame, summaries: Sequence[EpisodeSummary]) -> dict[str, object]:
    """Summarise trajectories.

    Parameters
    ----------
    rows : DataFrame
        Trajectory rows of one directory, with their rewards (`score_rows`).
    summaries : sequence of EpisodeSummary
        Of the same episodes.

    Returns
    -------
    dict
        episodes, rows, repeated_requests (sent again to the model server), gain (mean hold-out gain
        of an episode), and the figures of `figures.py`.
    """
    return {
        "episodes": len(summaries),
        "rows": len(rows),
        "repeated_requests": sum(s.repeated for s in summaries),
        "gain": mean(s.gain for s in summaries),
        **nested(values(played(rows, summaries))),
    }


def played(rows: pd.DataFrame, summaries: Sequence[EpisodeSummary]) -> Played:
    """What the figures are computed of; rows and summaries of the same episodes."""
    grouped = rows.groupby(["episode", "branch", "role"], sort=False)
    last = grouped.last().reset_index()
    last["mean_reward"] = np.asarray(grouped["reward"].mean())
    turns = {role: last.loc[last["role"] == role] for role in (DATA_SCIENTIST, ML_ENGINEER)}
    return Played(
        scientist=turns[DATA_SCIENTIST],
        engineer=turns[ML_ENGINEER],
        summaries=summaries,
        tokens=float(rows[["prompt_tokens", "completion_tokens"]].to_numpy().sum()),
        reward={role: mean(of_role["mean_reward"]) for role, of_role in turns.items()},
    )
