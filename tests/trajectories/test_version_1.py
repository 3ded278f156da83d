"""Part files of version 1: which facts are recovered, by whose weights, and that new parts may lie
beside them. That rewards and credit stay as they were is in `tests/rewards/test_scoring.py`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.trajectories import SCHEMA, TrajectoryWriter, read_rows
from marl_llm.trajectories.version_1 import SOURCES, OldWeights, recovered, weights_above
from tests.trajectories.rows import make_row

OLD = Path(__file__).parent / "version_1"
DEFAULT = OldWeights()
BY_STEP = OldWeights(credit="step", gain_weight=2.0)
FORGETFUL = OldWeights(rung_bonus=0.0, gain_weight=0.0)
NOTHING: dict[str, Any] = {
    "action": "tune C=1",
    "metrics_after": "{}",
    "evaluation_s": 0.0,
    "reward_metric_delta": 0.0,
    "reward_no_gain": 0.0,
    "reward_failure": 0.0,
    "reward_cpu_cost": 0.0,
    "reward_refusal": 0.0,
}


def parts(name: str) -> Path:
    return OLD / name / "iteration_0000" / "trajectories"


def scientist(branch: str = "0.d0", verdict: str = "accepted", **more: Any) -> dict[str, Any]:
    return NOTHING | {"role": DATA_SCIENTIST, "branch": branch, "verdict": verdict} | more


def engineer(branch: str, verdict: str, **more: Any) -> dict[str, Any]:
    return NOTHING | {"role": ML_ENGINEER, "branch": branch, "verdict": verdict} | more


def facts(*rows: dict[str, Any], weights: OldWeights = DEFAULT) -> list[dict[str, Any]]:
    table = pa.Table.from_pylist([dict.fromkeys(SOURCES) | row for row in rows])
    return recovered(table, weights).to_pylist()


@pytest.mark.parametrize(
    ("row", "weights", "gain"),
    [
        (scientist(significant=True, reference_gain=0.5, reward_metric_delta=0.25), DEFAULT, 0.25),
        (
            scientist(significant=True, reference_gain=0.5),
            DEFAULT,
            None,
        ),  # all of it credited before
        (scientist(verdict="no_gain", significant=False, reference_gain=0.1), DEFAULT, 0.0),
        (scientist(verdict="no_gain"), DEFAULT, 0.0),  # the reference failed
        (scientist(verdict="invalid"), DEFAULT, None),
        (scientist(verdict="redundant"), DEFAULT, None),
        (scientist(verdict="finished"), DEFAULT, None),
        (scientist(verdict="finished", significant=True, reward_metric_delta=0.5), DEFAULT, 0.5),
        (scientist(significant=True, reference_gain=0.5, reward_metric_delta=0.25), BY_STEP, 0.5),
        (scientist(significant=True, reference_gain=0.5), FORGETFUL, 0.5),
    ],
)
def test_the_reference_gain_not_credited_before(
    row: dict[str, Any], weights: OldWeights, gain: float | None
) -> None:
    assert facts(row, weights=weights)[0]["new_reference_gain"] == gain


def test_a_proposals_step_gain_is_the_mean_of_what_was_done_as_asked_and_equal_ones_share_it() -> (
    None
):
    gained = {"compliance": 1.0, "skill_gain": 0.5, "significant": True}
    rows = [
        scientist("0.d0", action="tune C=3"),
        engineer("0.d0.e0", "accepted", **gained),
        engineer("0.d0.e1", "no_gain", **gained | {"skill_gain": 0.25, "significant": False}),
        engineer("0.d0.e2", "not_as_asked", **gained | {"compliance": 0.5}),
        scientist("0.d1", action="tune C=3"),
        scientist("1.d0", action="tune C=3"),
        scientist("0.d2", "redundant", action="tune C=3"),
    ]
    found = [one["step_gain"] for one in facts(*rows)]
    assert found == [0.25, 0.5, 0.0, 0.0, 0.25, None, None]
    by_step = facts(
        scientist(reward_metric_delta=0.5), scientist("0.d1", reward_no_gain=-0.02), weights=BY_STEP
    )
    assert [one["step_gain"] for one in by_step] == [0.25, 0.0]


@pytest.mark.parametrize(("failure", "rungs"), [(-0.15, 0), (-0.145, 1), (-0.135, 3), (-0.13, 4)])
def test_how_far_failing_code_came(failure: float, rungs: int) -> None:
    row = engineer("0.d0.e0", "failed", reward_failure=failure)
    assert facts(row)[0]["rungs"] == rungs
    assert facts(row, weights=FORGETFUL)[0]["rungs"] == 0
    assert facts(engineer("0.d0.e0", "no_gain", compliance=1.0))[0]["rungs"] == 4


def test_refusals_and_analyses_of_files_that_recorded_them_and_of_older_ones() -> None:
    row = scientist(evaluation_s=3.0, reward_cpu_cost=-0.0006, reward_refusal=-0.1)
    (known,) = facts(row)
    assert (known["refused"], known["analysis_cpu_s"], known["evaluation_s"]) == (True, 3.0, 0.0)
    (older,) = facts(row | {"reward_cpu_cost": None, "reward_refusal": None})
    assert (older["refused"], older["analysis_cpu_s"]) == (False, 0.0)
    assert facts(engineer("0.d0.e0", "failed", evaluation_s=3.0))[0]["evaluation_s"] == 3.0


def test_the_weights_are_those_of_the_run_directory_above() -> None:
    assert (
        weights_above(parts("step")).credit == "step"
        and weights_above(parts("step")).rung_bonus == 0.01
    )
    assert weights_above(parts("demo")) == DEFAULT


def test_without_a_run_directory_they_are_the_defaults_and_a_broken_recipe_is_named(
    tmp_path: Path,
) -> None:
    rows = shutil.copytree(parts("step"), tmp_path / "run" / "iteration_0000" / "trajectories")
    assert weights_above(rows) == DEFAULT
    (tmp_path / "run" / "recipe.yaml").write_text("name: x\n")
    assert weights_above(rows) == DEFAULT
    (tmp_path / "run" / "recipe.yaml").write_text("rewards: [")
    with pytest.raises(UserError, match=r"recipe\.yaml is no recipe"):
        read_rows(rows)


def test_old_parts_have_every_column_with_nulls_where_they_are_older_than_it() -> None:
    frame = read_rows(parts("demo"))
    assert list(frame.columns) == SCHEMA.names
    assert frame["forgiven"].isna().all() and frame["followed"].notna().all()
    assert set(frame["schema_version"]) == {1} and not frame["refused"].any()
    some = read_rows(parts("demo"), ["rungs", "episode"], role=ML_ENGINEER)
    assert list(some.columns) == ["rungs", "episode"] and set(some["rungs"]) <= {0, 1, 2, 3, 4}


def test_new_parts_may_lie_beside_old_ones(tmp_path: Path) -> None:
    rows = shutil.copytree(parts("reference"), tmp_path / "rows")
    before = read_rows(rows)
    TrajectoryWriter(rows).append([make_row(episode="new", refused=True, step_gain=0.5)])
    frame = read_rows(rows)
    new = frame[frame["episode"] == "new"]
    assert (len(frame), new["refused"].item(), new["step_gain"].item()) == (
        len(before) + 1,
        True,
        0.5,
    )
    old = frame[frame["episode"] != "new"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old[["step_gain", "rungs"]], before[["step_gain", "rungs"]])


def test_an_old_part_without_its_rewards_is_no_trajectory_file(tmp_path: Path) -> None:
    table = pq.read_table(next(parts("step").glob("part-*"))).drop_columns(["reward_metric_delta"])
    pq.write_table(table, tmp_path / "part-e1.parquet")
    with pytest.raises(UserError, match="missing or other columns: reward_metric_delta"):
        read_rows(tmp_path)
