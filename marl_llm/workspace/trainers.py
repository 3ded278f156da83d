"""Trainers in processes of their own: started from a specification file, followed, ended with their owner."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from marl_llm.core.errors import RunFailed
from marl_llm.core.owner import OWNED

logger = logging.getLogger(__name__)
Running = list["subprocess.Popen[str]"]


def run_together(jobs: Sequence[Callable[[Running], object]], at_once: int) -> None:
    """Do jobs that start trainers, so many at a time; when one fails or is interrupted, all trainers are ended."""
    running: Running = []
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        try:
            list(pool.map(lambda job: job(running), jobs))
        except BaseException:  # Ctrl-C reaches this thread only
            for worker in running:
                worker.terminate()
            raise


def run_trainer(spec: Path, what: str, running: Running | None = None) -> float:
    """Run the trainer on a specification file, logging its steps; its own log lies beside that file.

    Parameters
    ----------
    spec : Path
        What `marl_llm.algorithms.worker` reads, named NAME-spec.json; the log is NAME.log.
    what : str
        For progress and errors, such as "train 3 ml_engineer".
    running : list of Popen, optional
        The process is added to it.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    RunFailed
        The trainer failed; with its reason.
    """
    began, running = time.monotonic(), [] if running is None else running
    log = spec.with_name(spec.name.replace("-spec.json", ".log"))
    command = [sys.executable, "-m", "marl_llm.algorithms.worker", str(spec), OWNED]
    pipe = subprocess.PIPE  # standard input ends when this process does
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as worker,
    ):
        assert worker.stdout is not None
        running.append(worker)
        try:
            message = _follow(worker.stdout, what)
            worker.wait()
        except BaseException:
            worker.terminate()
            raise
    if worker.returncode != 0:
        raise RunFailed(f"{what}: {message or f'the trainer ended with code {worker.returncode}'} (log: {log})")
    return time.monotonic() - began


def _follow(lines: Any, what: str) -> str:
    """Log a worker's steps; returns its error message, if it says one."""
    message, logged = "", 0.0
    for line in lines:
        event = json.loads(line)
        if event["event"] == "error":
            message = event["message"]
        elif event["event"] == "step" and (time.monotonic() - logged > 10 or event["step"] == event["total"]):
            logged = time.monotonic()
            logger.info("%s: step %d/%d, loss %.4f", what, event["step"], event["total"], event["loss"])
    return message
