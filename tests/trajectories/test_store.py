"""Claims about trajectories on disk: nothing is lost, nothing is half there, and bad files are
named.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.trajectories import (
    SCHEMA,
    Row,
    TrajectoryWriter,
    finished_episodes,
    lost_episodes,
    read_rows,
    store,
    write_manifest,
)
from tests.trajectories.rows import any_row, make_row


def as_row(record: pd.Series) -> Row:
    """Turn a row of the frame back into a `Row`."""
    values = record.to_dict()
    for field in SCHEMA:
        value = values[field.name]
        if str(field.type).startswith("list"):
            values[field.name] = value.tolist()
        elif field.nullable and (value is None or (isinstance(value, float) and math.isnan(value))):
            values[field.name] = None
    return Row(**values)


@given(st.lists(any_row(), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_back_unchanged(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        TrajectoryWriter(Path(directory)).append(rows)
        frame = read_rows(Path(directory))
    assert [as_row(record) for _, record in frame.iterrows()] == rows


def test_text_that_utf8_cannot_hold_does_not_lose_the_episode(tmp_path: Path) -> None:
    TrajectoryWriter(tmp_path).append([make_row(action="drop \ud800 \x00 é")])
    assert read_rows(tmp_path)["action"].tolist() == ["drop ? \x00 é"]


def test_a_finished_episode_is_known_and_not_written_again(tmp_path: Path) -> None:
    writer = TrajectoryWriter(tmp_path / "new" / "trajectories")
    assert finished_episodes(writer.directory) == set()
    writer.append([make_row(), make_row(call=1)])
    assert finished_episodes(writer.directory) == {"e1"}
    with pytest.raises(ValueError, match="the episode is finished"):
        writer.append([make_row()])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "one episode"),
        ([make_row(), make_row(episode="e2")], "one episode"),
        ([make_row(episode="../e")], "episode names"),
        ([make_row(logprobs=[-0.5])], "2 ids, 1 logprobs"),
        ([make_row(role=None)], r"columns \['role'\] must not be missing"),
        ([make_row(step=2**40)], "int"),
        ([make_row(logprobs=[-0.5, float("nan")])], "logprobs must be finite"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_no_file(
    tmp_path: Path, rows: list[Row], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TrajectoryWriter(tmp_path).append(rows)
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from marl_llm.trajectories import TrajectoryWriter, store
from tests.trajectories.rows import make_row
def kill(*args, **kwargs):
    args[1].write(b"PAR1half a part"); args[1].flush(); os.kill(os.getpid(), signal.SIGKILL)
store.pq.write_table = kill
TrajectoryWriter(Path(sys.argv[1])).append([make_row()])
"""


def test_a_writer_killed_in_the_middle_leaves_no_part_and_can_be_run_again(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=Path(__file__).parents[2], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir())  # its temporary file
    assert finished_episodes(tmp_path) == set()
    TrajectoryWriter(tmp_path).append([make_row()])
    assert len(read_rows(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["part-e1.parquet"]


def test_a_full_disk_is_one_clear_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: pa.Table, file: object, **__: object) -> None:
        Path("/dev/full").write_bytes(b"x")

    monkeypatch.setattr(store.pq, "write_table", full)
    with pytest.raises(RunFailed, match=r"No space left on device.*finished episodes are kept"):
        TrajectoryWriter(tmp_path).append([make_row()])
    assert not list(tmp_path.iterdir())


def test_reading_can_be_limited_to_a_role_and_to_columns_over_several_directories(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        TrajectoryWriter(tmp_path / name).append(
            [make_row(episode=name), make_row(episode=name, role="ml_engineer")]
        )
    frame = read_rows(
        [tmp_path / "a", tmp_path / "b"], columns=["episode", "step_gain"], role="ml_engineer"
    )
    assert list(frame.columns) == ["episode", "step_gain"]
    assert frame["episode"].tolist() == ["a", "b"]


def test_a_directory_without_trajectories_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no trajectories"):
        read_rows(tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_a_truncated_part_is_named(tmp_path: Path, keep: float) -> None:
    writer = TrajectoryWriter(tmp_path)
    path = writer.append([make_row()])
    writer.append([make_row(episode="e2")])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if 0 < keep < 1 else int(keep)])
    with pytest.raises(
        UserError, match=r"part-e1\.parquet is damaged or no parquet file: delete it"
    ):
        read_rows(tmp_path)


def test_damage_in_the_middle_of_a_part_is_noticed(tmp_path: Path) -> None:
    path = TrajectoryWriter(tmp_path).append([make_row(messages=json.dumps(list(range(500))))])
    whole = bytearray(path.read_bytes())
    whole[200:1200] = bytes(1000)
    path.write_bytes(bytes(whole))
    with pytest.raises(UserError, match=r"part-e1\.parquet is damaged"):
        read_rows(tmp_path)


def test_a_foreign_parquet_file_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "part-e1.parquet")
    with pytest.raises(
        UserError, match=r"part-e1\.parquet is no trajectory file of marl_llm \(missing .*run"
    ):
        read_rows(tmp_path)


def test_a_newer_schema_asks_for_an_update(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([make_row().to_dict()], schema=SCHEMA)
    pq.write_table(
        table.replace_schema_metadata({"marl_llm_schema_version": "99"}),
        tmp_path / "part-e1.parquet",
    )
    with pytest.raises(
        UserError, match="has trajectory schema 99, this version reads 2: update marl_llm"
    ):
        read_rows(tmp_path)


def test_the_datasets_library_reads_the_parts(tmp_path: Path) -> None:
    writer = TrajectoryWriter(tmp_path / "t")
    writer.append([make_row(), make_row(call=1)])
    writer.append([make_row(episode="e2", significant=True, skill_gain=0.25)])
    write_manifest(tmp_path / "t")
    data = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "t" / "part-*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert isinstance(data, datasets.Dataset)
    assert data.column_names == SCHEMA.names
    assert data[2]["completion_ids"] == [4, 5] and data[2]["skill_gain"] == 0.25


def test_the_manifest_counts_what_is_there(tmp_path: Path) -> None:
    TrajectoryWriter(tmp_path).append([make_row(), make_row(role="ml_engineer", call=1)])
    manifest = write_manifest(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert (
        manifest["episodes"],
        manifest["rows"],
        manifest["prompt_tokens"],
        manifest["completion_tokens"],
    ) == (
        1,
        2,
        6,
        4,
    )
    assert manifest["rows_per_role"] == {"data_scientist": 1, "ml_engineer": 1}
    assert manifest["packages"]["pyarrow"] == pa.__version__


def test_parts_that_are_gone_are_counted_by_the_manifest(tmp_path: Path) -> None:
    assert lost_episodes(tmp_path) is None
    writer = TrajectoryWriter(tmp_path)
    parts = [writer.append([make_row(episode=name)]) for name in ("e1", "e2")]
    write_manifest(tmp_path)
    assert lost_episodes(tmp_path) == 0
    parts[0].unlink()
    assert lost_episodes(tmp_path) == 1
    (tmp_path / "manifest.json").write_text('{"episodes": ')
    assert lost_episodes(tmp_path) is None


def test_two_writers_of_different_episodes_share_a_directory(tmp_path: Path) -> None:
    first, second = TrajectoryWriter(tmp_path), TrajectoryWriter(tmp_path)
    first.append([make_row(episode="a")])
    second.append([make_row(episode="b")])
    assert finished_episodes(tmp_path) == {"a", "b"}
    shutil.rmtree(tmp_path)
