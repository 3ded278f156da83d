"""Kills at random moments, in small; `make chaos` kills servers, trainers and Ray workers too."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import psutil
import pytest

from marl_llm.trajectories import read_rows
from tests.chaos.comparing import require_equal_rows
from tests.chaos.killing import COLLECTOR, ZYGOTE, Disturbed, run_under_kills


def command(directory: Path) -> list[str]:
    return [sys.executable, "-m", "tests.chaos.scripted", str(directory)]


def test_a_collector_and_its_sandbox_killed_at_random_moments_lose_and_double_nothing(
    tmp_path: Path,
):
    whole, killed, log = tmp_path / "whole", tmp_path / "killed", tmp_path / "log"
    none = {"mean_s": 1.0, "draw": random.Random(0)}
    assert run_under_kills(command(whole), log, kills=0, **none) == []
    kills = run_under_kills(
        command(killed),
        log,
        kills=2,
        mean_s=2.0,
        draw=random.Random(4),
        kinds=(COLLECTOR, ZYGOTE),
    )
    assert kills
    assert require_equal_rows(killed, whole, sampled=False) == len(read_rows(whole))


def test_what_is_left_behind_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.chaos.killing._LEFT_BEHIND_S", 0.5)
    sleeper = "import subprocess, time; subprocess.Popen(['sleep', '20']); time.sleep(2)"
    with pytest.raises(Disturbed, match="left behind.*sleep 20"):
        run_under_kills(
            [sys.executable, "-c", sleeper],
            tmp_path / "log",
            kills=0,
            mean_s=1.0,
            draw=random.Random(0),
        )
    for one in psutil.process_iter(["cmdline"]):
        if one.info["cmdline"] == ["sleep", "20"]:
            one.kill()


def test_an_end_that_is_no_sentence_is_found(tmp_path: Path):
    with pytest.raises(Disturbed, match="exit code 1"):
        run_under_kills(
            [sys.executable, "-c", "raise ValueError('bug')"],
            tmp_path / "log",
            kills=0,
            mean_s=1.0,
            draw=random.Random(0),
        )
