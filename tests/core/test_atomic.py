"""Files whole or not at all: a refused write leaves the older file, and says what to do."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from marl_llm.core.atomic import replacing, write_json
from marl_llm.core.errors import RunFailed


def test_what_is_written_takes_the_olds_place_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    (path.parent).mkdir()
    path.with_name(".x.json.tmp").write_text("of a killed writer")
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2} and [p.name for p in path.parent.iterdir()] == [
        "x.json"
    ]


def test_a_full_disk_leaves_the_older_file_and_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, 1)
    said = r"x\.json: the metrics cannot be written \(No space.*\); free some space"
    with pytest.raises(RunFailed, match=said), replacing(path, "the metrics") as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert json.loads(path.read_text()) == 1 and [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(RunFailed, match="cannot be written"):
        write_json(tmp_path / "x" / "y.json", 1)
