"""What the tests of analysis share: tasks made of arrays, so that answers do not depend on how CSVs
are read and split, and one way to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.environment.analysis import AnalysisView, answer
from marl_llm.proposals import Analyze
from marl_llm.tasks import Column, Task
from marl_llm.tasks.parts import Part
from tests.fixtures import small_frame, small_task

COLUMN_QUERIES = (
    "distribution",
    "missing",
    "correlation",
    "information",
    "target",
    "outliers",
    "leakage",
)
MODEL_QUERIES = ("errors", "confusion", "segments", "importance", "calibration")


def made_task(
    columns: Mapping[str, np.ndarray],
    y: np.ndarray,
    kind: Kind = Kind.binary,
    kinds: Mapping[str, str] | None = None,
) -> Task:
    """A task whose development part holds these columns and labels."""
    X = pd.DataFrame(
        {
            name: pd.Series(v, dtype=float if v.dtype.kind in "fiu" else object)
            for name, v in columns.items()
        }
    )
    inferred = {name: "numeric" if X[name].dtype == float else "categorical" for name in X} | dict(
        kinds or {}
    )
    return replace(
        small_task(kind),
        columns=tuple(Column(name, f"column {name}", inferred[name]) for name in X),  # type: ignore[arg-type]
        classes=tuple(f"class {c}" for c in range(int(y.max()) + 1))
        if kind.is_classification
        else (),
        development=Part(X, y),
    )


def plain_task(kind: Kind) -> Task:
    """All 480 rows of `small_frame` as development part: three numbers, two categories, gaps."""
    frame = small_frame(kind)
    outcome = frame.pop("outcome")
    columns = {}
    for i, (_, column) in enumerate(frame.items()):
        numeric = pd.api.types.is_numeric_dtype(column)
        filled = (
            column.astype(float) if numeric else column.astype(object).where(column.notna(), np.nan)
        )
        columns[f"x{i}"] = filled.to_numpy()
    if kind is Kind.regression:
        return made_task(columns, outcome.to_numpy(float), kind)
    return made_task(
        columns, np.unique(outcome.to_numpy(str), return_inverse=True)[1].astype(np.int64), kind
    )


def viewed(task: Task, predictions: Predictions | None = None, **options) -> AnalysisView:
    """A view of a task with predictions for all development rows in their own order."""
    return AnalysisView(task, predictions, np.arange(len(task.development.y)), **options)


def ask(query: str, view: AnalysisView, *columns: str, code: str = "") -> str:
    """The answer to a query."""
    return answer(Analyze(query=query, columns=columns, code=code), view)  # type: ignore[arg-type]


def one_hot(labels: np.ndarray, n_classes: int) -> Predictions:
    """Predictions that are sure of their labels."""
    return Predictions(labels, np.eye(n_classes)[labels])
