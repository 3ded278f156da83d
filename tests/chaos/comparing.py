"""Whether a run that was disturbed holds what an undisturbed one holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from marl_llm.core.roles import ROLES
from marl_llm.rollout.journal import UNFINISHED
from marl_llm.rollout.summary import read_summaries
from marl_llm.trajectories import read_rows
from marl_llm.workspace.run import RunDirectory

TIMES = ["latency_s", "evaluation_s", "analysis_cpu_s", "created_at"]


def rows_of(directory: Path, *, sampled: bool) -> pd.DataFrame:
    """The rows but for times; of sampled ones without log-probabilities, whose last bits depend on
    what else the server was decoding.
    """
    rows = read_rows(directory).drop(columns=[*TIMES, *["logprobs"] * sampled])
    lists = [name for name in ("prompt_ids", "completion_ids", "logprobs") if name in rows]
    return rows.assign(**{name: rows[name].map(list) for name in lists})


def require_equal_rows(directory: Path, undisturbed: Path, *, sampled: bool) -> int:
    """Compare two directories of trajectories; returns the number of rows. AssertionError where
    they differ, where an episode is told of twice, or something unfinished was left.
    """
    mine, other = (rows_of(one, sampled=sampled) for one in (directory, undisturbed))
    pd.testing.assert_frame_equal(mine, other, check_exact=True)
    names = [summary.episode for summary in read_summaries(directory)]
    assert names == sorted(set(mine["episode"])), names
    assert not (directory / UNFINISHED).exists()
    assert not list(directory.glob("*.tmp*"))
    return len(mine)


def same_adapters(run: RunDirectory, undisturbed: RunDirectory, version: int) -> bool:
    """Whether both runs have the same weights, bit for bit."""
    return all(run.sha256(role, version) == undisturbed.sha256(role, version) for role in ROLES)
