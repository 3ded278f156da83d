"""`python -m marl_llm.evaluation.flaml_worker DIRECTORY`: FLAML on one table, in a process of its
own.

In: `job.pickle`, a `Job` with labelled rows and the test rows without their labels. Out:
`done.pickle`, a `Done`. What goes wrong is said in the last line of standard error, exit code 1.
The process ends with its standard input.

FLAML budgets by `time.time`. Here that clock counts the process's CPU seconds, so that a busy
machine takes nothing from its budget and a second thread gives nothing extra.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from marl_llm.core.owner import STOPPED, stop_with_owner

JOB, DONE = "job.pickle", "done.pickle"


@dataclass(frozen=True)
class Job:
    """What FLAML is given.

    Attributes
    ----------
    X, X_test : DataFrame, shape (n, d) and (m, d)
        As a task's parts hold them.
    y : ndarray, shape (n,)
        int64 class indices or float64 values.
    n_classes : int or None
        Classes of the task, of which some may be missing in `y`; None for regression.
    metric : str
        FLAML's name.
    seconds : float
        CPU seconds of the search; fitting the winner on all rows comes on top.
    seed : int
    """

    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    n_classes: int | None
    metric: str
    seconds: float
    seed: int


@dataclass(frozen=True)
class Done:
    """Predictions of the test rows, as `marl_llm.core.predictions` describes them, and CPU seconds
    of the process.
    """

    labels: np.ndarray
    proba: np.ndarray | None
    cpu_s: float


def aligned(proba: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities with one column per class of the task.

    Parameters
    ----------
    proba : ndarray, shape (m, k)
        Columns as in `classes`.
    classes : ndarray, shape (k,)
        Class indices seen in training.
    n_classes : int
        At least k.

    Returns
    -------
    ndarray, shape (m, n_classes)
        float64, rows sum to 1; classes that were never seen have 0.
    """
    full = np.zeros((len(proba), n_classes))
    full[:, np.asarray(classes, dtype=np.int64)] = proba
    return full / full.sum(axis=1, keepdims=True)


def search(job: Job) -> Done:
    """Let FLAML search on one core, then predict the test rows."""
    from flaml.automl.automl import AutoML

    task = "regression" if job.n_classes is None else "classification"
    automl = AutoML()
    if importlib.util.find_spec("catboost"):
        _keep_catboost_deadline(job.seconds)
    automl.fit(
        job.X,
        job.y,
        task=task,
        metric=job.metric,
        time_budget=job.seconds,
        n_jobs=1,
        seed=job.seed,
        verbose=0,
    )
    labels = np.asarray(automl.predict(job.X_test))
    if job.n_classes is None:
        return Done(labels.astype(np.float64), None, _cpu_s())
    labels = labels.astype(np.int64)
    try:
        proba, classes = (
            np.asarray(automl.predict_proba(job.X_test), dtype=np.float64),
            np.asarray(automl.classes_),
        )
    except (
        AttributeError
    ):  # a linear model with hinge loss; the sandbox treats such estimators the same way
        proba, classes = np.eye(job.n_classes)[labels], np.arange(job.n_classes)
    return Done(labels, aligned(proba, classes, job.n_classes), _cpu_s())


def _keep_catboost_deadline(seconds: float) -> None:
    """Make FLAML stop CatBoost at the deadline it sets.

    FLAML 2.7 passes the deadline on and never looks at it: one fit of up to 8192 trees on 150 rows
    took minutes of a budget of seconds. The last fit, of the winner, has no deadline; it may take
    as long as the search.
    """
    from flaml.automl.model import CatBoostEstimator

    def callbacks(
        start_time: float, deadline: float, free_mem_ratio: float | None
    ) -> list[_Deadline]:
        return [_Deadline(min(deadline, start_time + seconds))]

    CatBoostEstimator._callbacks = staticmethod(callbacks)  # type: ignore[method-assign]


@dataclass(frozen=True)
class _Deadline:
    """A callback of CatBoost's: go on while it is time."""

    at: float

    def after_iteration(self, info: object) -> bool:
        return time.time() < self.at


def _cpu_s() -> float:
    return sum(os.times()[:4])  # own and of children, user and system


def main(arguments: list[str]) -> int:
    """Do the job in the directory named by the first argument; returns the exit code."""
    directory = Path(arguments[0]).resolve()
    os.chdir(directory)  # CatBoost writes its files where it stands
    stop_with_owner()
    started = time.time()
    time.time = lambda: started + time.process_time()
    try:
        done = search(pickle.loads((directory / JOB).read_bytes()))
    except KeyboardInterrupt:
        return STOPPED
    (directory / DONE).write_bytes(pickle.dumps(done))
    return 0


if __name__ == "__main__":
    # Pickles name the module, not __main__.
    from marl_llm.evaluation import flaml_worker  # noqa: PLW0406

    sys.exit(flaml_worker.main(sys.argv[1:]))
