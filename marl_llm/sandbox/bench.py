"""What isolation costs: the sandbox, the same work in this process without isolation, and a fresh
interpreter.

One evaluation is a five-fold cross-validation: StandardScaler and LogisticRegression on
scikit-learn's breast cancer data (cheap, so that isolation weighs most), and gradient boosting on
5,000 rows of 20 columns. The methods take turns, so that a busy machine slows all of them; figures
are of the median round. Processor time counts that of every process involved, this one included.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from marl_llm.core.cpu_time import tree_cpu_seconds
from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.results import Status
from marl_llm.sandbox.sandbox import Sandbox

_FOLDS = 5
_REPEATS = {"in-process": 5, "sandbox": 5, "fresh interpreter": 1}
"""Evaluations per round: cheap ones are timed over several."""
_ROWS, _COLUMNS = 5000, 20
_LINEAR = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def build_pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression())
"""
_BOOSTING = """
from sklearn.ensemble import HistGradientBoostingClassifier

def build_pipeline():
    return HistGradientBoostingClassifier(max_iter=50, early_stopping=False)
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
    """How fast a method is: a row of the result. `cpu_ratio` is the in-process CPU time divided by
    the method's.
    """

    work: str
    method: str
    evaluations_per_s: float
    cpu_ms: float
    cpu_ratio: float


_Split = tuple[pd.DataFrame, np.ndarray, pd.DataFrame]


def benchmark(rounds: int) -> list[Rate]:
    """Time the methods, interleaved.

    Parameters
    ----------
    rounds : int
        How often each method gets its turn; the median round counts.

    Returns
    -------
    list of Rate
        One row per work and method.
    """
    cancer = load_breast_cancer(as_frame=True)
    assert isinstance(cancer, Bunch)
    made = make_classification(_ROWS, _COLUMNS, random_state=0)
    wide = pd.DataFrame(made[0]).rename(columns=str)
    with Sandbox(slots=1) as sandbox:
        linear = _methods(sandbox, _LINEAR, _splits(cancer.data, cancer.target.to_numpy()))
        boosting = _methods(sandbox, _BOOSTING, _splits(wide, np.asarray(made[1])))
        return [
            *_rates(
                "logistic regression, 569 x 30",
                {**linear, "fresh interpreter": _in_fresh_interpreter},
                _REPEATS,
                rounds,
            ),
            *_rates(
                f"boosting, {_ROWS} x {_COLUMNS}", boosting, dict.fromkeys(boosting, 1), rounds
            ),
        ]


def _methods(sandbox: Sandbox, code: str, splits: list[_Split]) -> dict[str, Callable[[], None]]:
    folds = [Fold.prepare(*split, n_classes=2, seed=0) for split in splits]
    return {
        "in-process": lambda: _in_process(code, splits),
        "sandbox": lambda: _in_sandbox(sandbox, code, folds),
    }


def _rates(
    work: str, methods: Mapping[str, Callable[[], None]], repeats: Mapping[str, int], rounds: int
) -> list[Rate]:
    wall: dict[str, list[float]] = {name: [] for name in methods}
    cpu: dict[str, list[float]] = {name: [] for name in methods}
    for evaluate in methods.values():
        evaluate()
    for _ in range(rounds):
        for name, evaluate in methods.items():
            start, before = time.perf_counter(), tree_cpu_seconds(os.getpid())
            for _ in range(repeats[name]):
                evaluate()
            wall[name].append((time.perf_counter() - start) / repeats[name])
            cpu[name].append((tree_cpu_seconds(os.getpid()) - before) / repeats[name])
    spent = {name: statistics.median(seconds) for name, seconds in cpu.items()}
    return [
        {
            "work": work,
            "method": name,
            "evaluations_per_s": 1 / statistics.median(wall[name]),
            "cpu_ms": 1000 * spent[name],
            "cpu_ratio": spent["in-process"] / spent[name],
        }
        for name in methods
    ]


def _splits(features: pd.DataFrame, labels: np.ndarray) -> list[_Split]:
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(features, labels)
    return [(features.iloc[train], labels[train], features.iloc[valid]) for train, valid in folds]


def _in_process(code: str, splits: list[_Split]) -> None:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    with threadpool_limits(1):  # like the other two
        for train, labels, valid in splits:
            model = namespace["build_pipeline"]().fit(train, labels)
            model.predict(valid)
            model.predict_proba(valid)


def _in_sandbox(sandbox: Sandbox, code: str, folds: list[Fold]) -> None:
    evaluation = sandbox.evaluate(code, folds)
    if evaluation.status is not Status.ok:
        raise RuntimeError(f"the benchmark's own pipeline failed: {evaluation.error}")


def _in_fresh_interpreter() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", _LINEAR + _SCRIPT], check=True, env=environment)
