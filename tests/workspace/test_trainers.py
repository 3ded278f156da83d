"""Trainers that fail or are killed are told at once, and no other one is left or begun."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from marl_llm.core.errors import RunFailed
from marl_llm.workspace.trainers import Running, run_together

Job = Callable[[Running], None]


def trainer(seconds: float, started: list[float]) -> Job:
    """A job whose process works so long, and fails with a negative time."""

    def job(running: Running) -> None:
        started.append(seconds)
        code = f"import time; time.sleep(abs({seconds})); raise SystemExit({seconds} < 0)"
        with subprocess.Popen([sys.executable, "-c", code], text=True) as worker:
            running.add(worker)
        if worker.returncode:
            raise RunFailed(f"trainer {seconds}: ended with code {worker.returncode}")

    return job


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("times", [(-0.1, 60), (60, -0.1)])
def test_a_trainer_that_is_killed_is_told_at_once(at_once: int, times: tuple[float, float]):
    if at_once == 1 and times[0] > 0:
        times = (-0.1, 61)
    started: list[float] = []
    began = time.monotonic()
    with pytest.raises(RunFailed, match="trainer -0.1"):
        run_together([trainer(seconds, started) for seconds in times], at_once)
    assert time.monotonic() - began < 30


def test_a_trainer_that_starts_when_the_others_were_ended_does_not_go_on():
    running, started = Running(), []
    running.end()
    with pytest.raises(RunFailed, match="-15"):
        trainer(60, started)(running)


def test_all_jobs_are_done_in_turn():
    started: list[float] = []
    run_together([trainer(0, started), trainer(0.01, started)], 1)
    assert started == [0, 0.01]
