"""A directory is kept for one process, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from marl_llm.core.directory import STAGING, held, sweep
from marl_llm.core.errors import UserError

HOLDER = """
import sys, time; from pathlib import Path
from marl_llm.core.directory import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_refused_naming_the_first_until_that_one_is_gone(tmp_path: Path):
    place = tmp_path / "new" / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"{place}: .*\(process {first.pid}, "), held(place):
            pytest.fail("held twice")
        first.send_signal(signal.SIGKILL)
        first.wait()
        with held(place):
            assert f"process {os.getpid()}, " in (place / ".lock").read_text()


def test_a_place_that_can_be_no_directory_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file cannot be a directory"), held(tmp_path / "file"):
        pytest.fail("held")


def test_what_killed_processes_left_half_made_is_swept_and_nothing_else(tmp_path: Path):
    staged = tmp_path / "adapters" / f"{STAGING}v1-abc"
    staged.mkdir(parents=True)
    (staged / "adapter_model.safetensors").write_text("half")
    half = tmp_path / "iteration_0000" / ".metrics.json.tmp"
    half.parent.mkdir()
    half.write_text("{")
    kept = [tmp_path / "notes.tmp", tmp_path / ".lock", half.with_name("metrics.json")]
    for path in kept:
        path.write_text("")
    assert set(sweep(tmp_path)) >= {staged, half}
    assert not staged.exists() and not half.exists() and all(path.is_file() for path in kept)
