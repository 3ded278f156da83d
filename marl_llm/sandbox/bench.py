"""Evaluations per second: the sandbox, the same work in this process without isolation, and a fresh
interpreter.

One evaluation is five-fold cross-validation of StandardScaler and LogisticRegression on
scikit-learn's breast cancer data. The methods take turns, so that a busy machine slows all of them;
rates are of the median round.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.results import Status
from marl_llm.sandbox.sandbox import Sandbox

_FOLDS = 5
_REPEATS = {
    "in-process": 5,
    "sandbox": 5,
    "fresh interpreter": 1,
}  # per round: cheap ones are timed over several
_CODE = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def build_pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression())
"""
_SCRIPT = """
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
import pandas
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
for train, valid in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
    model = build_pipeline().fit(X.iloc[train], y.iloc[train])
    model.predict(X.iloc[valid]), model.predict_proba(X.iloc[valid])
"""


class Rate(TypedDict):
    """How fast a method is: a row of the result."""

    method: str
    evaluations_per_s: float
    ratio_to_in_process: float


_Split = tuple[pd.DataFrame, np.ndarray, pd.DataFrame]


def benchmark(rounds: int) -> list[Rate]:
    """Time the three methods, interleaved.

    Parameters
    ----------
    rounds : int
        How often each method gets its turn; the median round counts.

    Returns
    -------
    list of Rate
        One row per method.
    """
    splits = _splits()
    folds = [Fold.prepare(*split, n_classes=2, seed=0) for split in splits]
    with Sandbox(slots=1) as sandbox:
        methods: dict[str, Callable[[], None]] = {
            "in-process": lambda: _in_process(splits),
            "sandbox": lambda: _in_sandbox(sandbox, folds),
            "fresh interpreter": _in_fresh_interpreter,
        }
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(rounds):
            for name, evaluate in methods.items():
                seconds[name].append(_seconds(evaluate, _REPEATS[name]))
    rates = {name: 1 / statistics.median(times) for name, times in seconds.items()}
    return [
        {
            "method": name,
            "evaluations_per_s": rate,
            "ratio_to_in_process": rate / rates["in-process"],
        }
        for name, rate in rates.items()
    ]


def _splits() -> list[_Split]:
    data = load_breast_cancer(as_frame=True)
    assert isinstance(data, Bunch)
    features, labels = data.data, data.target.to_numpy()
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(features, labels)
    return [(features.iloc[train], labels[train], features.iloc[valid]) for train, valid in folds]


def _seconds(evaluate: Callable[[], None], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        evaluate()
    return (time.perf_counter() - start) / repeats


def _in_process(splits: list[_Split]) -> None:
    namespace: dict[str, Any] = {}
    exec(_CODE, namespace)
    with threadpool_limits(1):  # like the other two
        for train, labels, valid in splits:
            model = namespace["build_pipeline"]().fit(train, labels)
            model.predict(valid)
            model.predict_proba(valid)


def _in_sandbox(sandbox: Sandbox, folds: list[Fold]) -> None:
    evaluation = sandbox.evaluate(_CODE, folds)
    if evaluation.status is not Status.ok:
        raise RuntimeError(f"the benchmark's own pipeline failed: {evaluation.error}")


def _in_fresh_interpreter() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", _CODE + _SCRIPT], check=True, env=environment)
