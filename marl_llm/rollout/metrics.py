"""Figures of a set of trajectories: what an iteration's report and the learning curve show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.rollout.summary import EpisodeSummary


def _mean(values: Iterable[float]) -> float:
    numbers = np.fromiter(values, dtype=np.float64)
    return float(numbers.mean()) if len(numbers) else 0.0


def team_metrics(rows: pd.DataFrame, summaries: Sequence[EpisodeSummary]) -> dict[str, Any]:
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
        reward (mean over turns, per role), gain (mean hold-out gain of an episode), compliance (mean over the
        Engineer's turns, 0 for code that does not run), failed_code and invalid_actions (shares of turns),
        tokens_per_step (prompt and completion tokens of all calls over the Data Scientist's turns), steps and
        finished_early per episode.
    """
    grouped = rows.groupby(["episode", "branch", "role"], sort=False)
    last = grouped.last().reset_index()
    last["mean_reward"] = np.asarray(grouped["reward"].mean())
    scientist = last.loc[last["role"] == DATA_SCIENTIST]
    engineer = last.loc[last["role"] == ML_ENGINEER]
    tokens = float(rows[["prompt_tokens", "completion_tokens"]].to_numpy().sum())
    return {
        "episodes": len(summaries),
        "rows": len(rows),
        "reward": {
            role: _mean(last.loc[last["role"] == role, "mean_reward"]) for role in (DATA_SCIENTIST, ML_ENGINEER)
        },
        "gain": _mean([s.gain for s in summaries]),
        "compliance": _mean(pd.Series(engineer["compliance"]).fillna(0.0)),
        "failed_code": _mean(engineer["verdict"] == "failed"),
        "as_asked": _mean(engineer["compliance"] == 1),
        "invalid_actions": _mean(scientist["verdict"] == "invalid"),
        "redundant_actions": _mean(scientist["verdict"] == "redundant"),
        "suggestions_with_gain": _mean(scientist["verdict"] == "accepted"),
        "tokens_per_step": tokens / max(1, len(scientist)),
        "steps": _mean([s.steps for s in summaries]),
        "finished_early": _mean([float(s.finished_early) for s in summaries]),
    }
