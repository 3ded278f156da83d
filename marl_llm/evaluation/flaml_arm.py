"""The arm `flaml`: what AutoML makes of the same rows in the same CPU time. FLAML is optional
(extra `automl`).

It gets development and hold-out rows, all that are labelled, in the columns of the task, one core,
and a budget of CPU seconds. In: a task, a budget, a seed. Out: predictions of the test rows, whose
labels never reach FLAML's process, and what they cost. Scoring is the caller's.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.core.predictions import Predictions
from marl_llm.evaluation.costs import Cost
from marl_llm.evaluation.flaml_metrics import flaml_metric
from marl_llm.evaluation.flaml_worker import DONE, JOB, Done, Job
from marl_llm.tasks import Task

FLAML = "flaml"
DEFAULT_SECONDS = 60.0
"""Budget, CPU seconds, where no team's is to be matched."""
MIN_SECONDS = 1.0
"""Smallest budget: below it FLAML fits hardly more than its first guess."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class FlamlFailed(Exception):
    """FLAML gave no predictions: the reason, one line."""


def require_flaml() -> None:
    """Raise UserError where FLAML, or the boosting it searches in, is not installed."""
    missing = [name for name in ("flaml", "lightgbm") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Arm 'flaml' needs {' and '.join(missing)}, not installed here: run `pip install "
            "'marl_llm[automl]'`, or leave the arm out of --arms."
        )


def wall_limit(seconds: float) -> float:
    """Wall seconds after which a search with this budget, CPU seconds, is given up: it hangs, or
    cannot get a core.
    """
    return 120 + 20 * seconds


class FlamlProcesses:
    """Runs FLAML, one process per search; thread-safe."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def predict(self, task: Task, seconds: float, seed: int) -> tuple[Predictions, Cost]:
        """Search on all labelled rows for `seconds` CPU seconds and predict the test rows. Blocks.

        Raises
        ------
        FlamlFailed
            It raised an error, was stopped, or took longer than `wall_limit`.
        """
        job = Job(
            X=pd.concat([task.development.X, task.holdout.X], ignore_index=True),
            y=np.concatenate([task.development.y, task.holdout.y]),
            X_test=task.test.X,
            n_classes=len(task.classes) if task.kind.is_classification else None,
            metric=flaml_metric(task.metrics, task.kind),
            seconds=seconds,
            seed=seed,
        )
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="marl-llm-flaml-") as folder:
            done = self._run(job, Path(folder))
        return Predictions(done.labels, done.proba), Cost(done.cpu_s, time.monotonic() - began)

    def stop(self) -> None:
        """End the searches under way."""
        with self._lock:
            for process in self._running:
                process.kill()

    def _run(self, job: Job, folder: Path) -> Done:
        (folder / JOB).write_bytes(pickle.dumps(job))
        said = folder / "stderr"
        command = [sys.executable, "-m", "marl_llm.evaluation.flaml_worker", str(folder)]
        with said.open("wb") as errors, self._started(command, errors.fileno()) as process:
            try:
                code = process.wait(wall_limit(job.seconds))
            except subprocess.TimeoutExpired:
                raise FlamlFailed(f"not done after {wall_limit(job.seconds):.0f} s") from None
            finally:
                process.kill()
                with self._lock:
                    self._running.discard(process)
        if code != 0:
            lines = said.read_text(errors="replace").strip().splitlines()
            raise FlamlFailed(lines[-1] if lines else f"it ended with code {code}")
        return pickle.loads((folder / DONE).read_bytes())

    def _started(self, command: list[str], errors: int) -> subprocess.Popen[bytes]:
        pipe, null = (
            subprocess.PIPE,
            subprocess.DEVNULL,
        )  # standard input ends when this process does
        process = subprocess.Popen(
            command, stdin=pipe, stdout=null, stderr=errors, env=os.environ | _ONE_THREAD
        )
        with self._lock:
            self._running.add(process)
        return process
