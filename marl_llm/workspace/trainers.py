"""Trainers in processes of their own: started from a specification file, followed, ended with their
owner.
"""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from marl_llm.core.errors import RunFailed
from marl_llm.core.owner import OWNED
from marl_llm.core.worker_lines import Event, follow

logger = logging.getLogger(__name__)
_EVERY_S = 10.0
"""Seconds between two lines of progress."""


class Running:
    """Trainers at work. Once `end` was called none goes on, not even one that starts later."""

    def __init__(self) -> None:
        self._workers: list[subprocess.Popen[str]] = []
        self._ended = False
        self._lock = threading.Lock()

    def add(self, worker: subprocess.Popen[str]) -> None:
        """Note a trainer that has started."""
        with self._lock:
            self._workers.append(worker)
            if self._ended:
                worker.terminate()

    def end(self) -> None:
        """End all trainers."""
        with self._lock:
            self._ended = True
            for worker in self._workers:
                worker.terminate()


def run_together(jobs: Sequence[Callable[[Running], object]], at_once: int) -> None:
    """Do jobs that start trainers, so many at a time; when one fails or is interrupted, all
    trainers are ended at once and no further one is begun.
    """
    running = Running()
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        begun = [pool.submit(job, running) for job in jobs]
        try:
            for done in as_completed(begun):
                done.result()
        except BaseException:  # Ctrl-C reaches this thread only
            pool.shutdown(wait=False, cancel_futures=True)
            running.end()
            raise


def run_trainer(spec: Path, what: str, running: Running | None = None) -> float:
    """Run the trainer on a specification file, logging its steps; its own log lies beside that
    file.

    Parameters
    ----------
    spec : Path
        What `marl_llm.algorithms.worker` reads, named NAME-spec.json; the log is NAME.log.
    what : str
        For progress and errors, such as "train 3 ml_engineer".
    running : Running, optional
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
    began, logged = time.monotonic(), -math.inf

    def on_event(event: Event) -> None:
        nonlocal logged
        if event["event"] != "step":
            return
        if time.monotonic() - logged > _EVERY_S or event["step"] == event["total"]:
            logged = time.monotonic()
            logger.info(
                "%s: step %d/%d, loss %.4f", what, event["step"], event["total"], event["loss"]
            )

    log = spec.with_name(spec.name.replace("-spec.json", ".log"))
    command = [sys.executable, "-m", "marl_llm.algorithms.worker", str(spec), OWNED]
    problem = follow(command, log, on_event, running.add if running is not None else _unnoticed)
    if problem:
        raise RunFailed(f"{what}: {problem} (log: {log})")
    return time.monotonic() - began


def _unnoticed(process: subprocess.Popen[str]) -> None:
    """For callers that need not end a trainer from outside."""
