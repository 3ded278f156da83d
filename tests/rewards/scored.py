"""Rows with their rewards, as tests of other rooms look at them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from marl_llm.rewards import RewardConfig, score_rows
from marl_llm.trajectories import Row


def scored(rows: Sequence[Row], weights: RewardConfig) -> list[pd.Series]:
    """Each row by column name, with `reward` and its components by these weights."""
    frame = score_rows(pd.DataFrame([row.to_dict() for row in rows]), weights)
    return [line for _, line in frame.iterrows()]
