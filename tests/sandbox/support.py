"""Data, candidates and small helpers that the sandbox's tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from marl_llm.core.predictions import Predictions
from marl_llm.sandbox import Evaluation, Fold, Limits, Sandbox, Status

SMALL = Limits(wall_s=10.0, cpu_s=5, memory_bytes=1 << 30)

HONEST = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def build_pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression())
"""

# An estimator whose fit and predict are harmless: snippets replace one of its methods.
ESTIMATOR = """
import os, sys, ctypes, socket, struct, time
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

class Base(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self
    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)
    def predict(self, X):
        return np.asarray(self.predict_proba(X)).argmax(axis=1)

def build_pipeline():
    return Base()
"""


def noise(rows: int = 200) -> tuple[pd.DataFrame, np.ndarray]:
    """Features that say nothing about the label, in a file sorted by label: any score above chance
    is a leak.
    """
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(rows, 4)), columns=[f"x{i}" for i in range(4)])
    return frame, np.repeat([0, 1], rows // 2)


def splits(labels: np.ndarray, count: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds that keep the file's order within each part."""
    return list(
        StratifiedKFold(count, shuffle=True, random_state=0).split(np.zeros(len(labels)), labels)
    )


def prepare(frame: pd.DataFrame, labels: np.ndarray, count: int = 5) -> list[Fold]:
    """Folds of a binary task."""
    return [
        Fold.prepare(frame.iloc[train], labels[train], frame.iloc[valid], n_classes=2, seed=0)
        for train, valid in splits(labels, count)
    ]


def mixed_frame(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numeric and text columns in turn, both with missing values."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 3))
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    texts = rng.choice(np.array(["red", "grün", "b,lue", np.nan], dtype=object), size=(rows, 2))
    columns = {
        "x0": numbers[:, 0],
        "x1": texts[:, 0],
        "x2": numbers[:, 1],
        "x3": texts[:, 1],
        "x4": numbers[:, 2],
    }
    return pd.DataFrame(
        {name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()}
    )


def fit_here(
    code: str, fold: Fold, train: pd.DataFrame, labels: np.ndarray, valid: pd.DataFrame, seed: int
) -> Predictions:
    """The same work in this process, on the rows in the fold's secret order; predictions in the
    caller's order.
    """
    namespace: dict = {}
    exec(
        code.replace("n_jobs=-1", "n_jobs=1"), namespace
    )  # threads would add up trees in any order
    np.random.seed(seed)
    with threadpool_limits(1):
        model = namespace["build_pipeline"]().fit(
            train.iloc[fold.train_order], labels[fold.train_order]
        )
        rows = valid.iloc[fold.valid_order]
        given = np.asarray(model.predict(rows))
        proba = (
            model.predict_proba(rows)
            if fold.n_classes and hasattr(model, "predict_proba")
            else None
        )
    return fold.restore(Predictions(given, proba))


def accuracy(evaluation: Evaluation, labels: np.ndarray, count: int = 5) -> float:
    """Mean accuracy over folds, computed outside the sandbox."""
    parts = zip(evaluation.predictions, splits(labels, count), strict=True)
    return float(
        np.mean([(predicted.labels == labels[valid]).mean() for predicted, (_, valid) in parts])
    )


def same(first: Sequence[Predictions], second: Sequence[Predictions]) -> bool:
    """Bit-exact equality."""
    return all(
        np.array_equal(a.labels, b.labels) and np.array_equal(a.proba, b.proba)  # type: ignore[arg-type]
        for a, b in zip(first, second, strict=True)
    )


def failing_with(sandbox: Sandbox, code: str, fold: Fold, limits: Limits = SMALL) -> Evaluation:
    """Evaluate on one fold and insist that it fails."""
    evaluation = sandbox.evaluate(code, [fold], limits=limits)
    assert evaluation.status is not Status.ok
    return evaluation


def descendants(process: int) -> set[int]:
    """Processes below a process, from /proc."""
    children: dict[int, set[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), set()).add(int(stat.parent.name))
    found, todo = set(), [process]
    while todo:
        below = children.get(todo.pop(), set())
        found |= below
        todo += below
    return found


def running(processes: set[int]) -> set[int]:
    """Those of the processes that exist and are not zombies."""
    alive = set()
    for process in processes:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            alive.add(process)
    return alive
