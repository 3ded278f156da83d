"""Trajectories: one row per model call, one parquet file per finished episode. The two wings meet
here.
"""

from __future__ import annotations

from marl_llm.trajectories.card import data_card
from marl_llm.trajectories.row import SCHEMA_VERSION, Row
from marl_llm.trajectories.schema import SCHEMA
from marl_llm.trajectories.store import (
    TrajectoryWriter,
    finished_episodes,
    lost_episodes,
    read_rows,
    write_manifest,
)

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Row",
    "TrajectoryWriter",
    "data_card",
    "finished_episodes",
    "lost_episodes",
    "read_rows",
    "write_manifest",
]
