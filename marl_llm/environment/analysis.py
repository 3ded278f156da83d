"""Answers to the Data Scientist's typed queries: short, deterministic text computed from development rows alone.

Three queries: `distribution` of columns, `target` (how the target goes with columns), `errors` of the current model
on its own cross-validation. Labels of the hold-out and test parts never enter here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from marl_llm.kind import Kind
from marl_llm.predictions import Predictions
from marl_llm.proposals import Analyze
from marl_llm.tasks import Task

MAX_COLUMNS = 3
MAX_LEVELS = 4


def _short(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def _level(level: object) -> str:
    return " ".join(str(level).split())[:12]


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _distribution(alias: str, column: pd.Series) -> str:
    if _is_number(column):
        known = column.dropna()
        if known.empty:
            return f"{alias} all missing"
        quantiles = np.quantile(known.to_numpy(), [0, 0.25, 0.5, 0.75, 1])
        return f"{alias} quantiles " + " ".join(_short(float(q)) for q in quantiles)
    shares = column.value_counts(normalize=True).head(MAX_LEVELS)
    if shares.empty:
        return f"{alias} all missing"
    return f"{alias} " + " ".join(f"{_level(level)} {share:.2f}" for level, share in shares.items())


def _groups(column: pd.Series) -> pd.Series:
    """Rows by quarter of a number, or by level of a word."""
    if _is_number(column):
        quarter = pd.Series(pd.qcut(column, 4, labels=False, duplicates="drop"), index=column.index)
        return quarter.map(lambda q: f"q{int(q) + 1}", na_action="ignore")
    return column.map(_level, na_action="ignore")


def _target(alias: str, column: pd.Series, y: np.ndarray, kind: Kind) -> str:
    """Mean of the target (or share of each class but the first, at most three) in each group of the column."""
    if column.isna().all():
        return f"{alias} all missing"
    groups = _groups(column)
    kept = groups.value_counts().head(MAX_LEVELS).index
    parts = []
    for group in sorted(kept):
        inside = y[(groups == group).to_numpy()]
        if kind.is_classification:
            classes = range(1, min(4, int(y.max()) + 1))
            parts.append(f"{group} " + "/".join(f"{float((inside == c).mean()):.2f}" for c in classes))
        else:
            parts.append(f"{group} {_short(float(inside.mean()))}")
    return f"{alias} " + (" ".join(parts) or "one value")


def describe_errors(kind: Kind, y: np.ndarray, predictions: Predictions) -> str:
    """Recall of each class (at most six), or quantiles of the residuals (prediction minus truth).

    Parameters
    ----------
    kind : Kind
        Kind of target.
    y : ndarray, shape (n,)
        Development labels in the order of `predictions`.
    predictions : Predictions
        Out-of-fold predictions of the current model for the same rows.
    """
    if kind.is_classification:
        present = [c for c in range(int(y.max()) + 1) if (y == c).any()][:6]
        recalls = (float((predictions.labels[y == c] == c).mean()) for c in present)
        return "recall " + " ".join(f"{c} {recall:.2f}" for c, recall in zip(present, recalls, strict=True))
    residuals = np.quantile(predictions.labels - y, [0.05, 0.25, 0.5, 0.75, 0.95])
    return "residuals " + " ".join(_short(float(r)) for r in residuals)


def answer(query: Analyze, task: Task, out_of_fold: Predictions | None, y_out_of_fold: np.ndarray | None) -> str:
    """Answer one query.

    Parameters
    ----------
    query : Analyze
        With columns as aliases; of more than three the first three are answered.
    task : Task
        Only its development part is read.
    out_of_fold, y_out_of_fold
        Cross-validated predictions of the current model and the labels of the same rows, for `errors`.
    """
    if query.query == "errors":
        if out_of_fold is None or y_out_of_fold is None:
            return "no predictions yet"
        return describe_errors(task.kind, y_out_of_fold, out_of_fold)
    part, X = task.development, dict(task.development.X.items())
    columns = query.columns[:MAX_COLUMNS] or tuple(c.alias for c in task.columns[:MAX_COLUMNS])
    if query.query == "distribution":
        return "; ".join(_distribution(alias, X[alias]) for alias in columns)
    return "; ".join(_target(alias, X[alias], part.y, task.kind) for alias in columns)
