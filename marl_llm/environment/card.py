"""`TaskCard`: what the agents are told about the data, computed once per task from the development rows only.

It holds numbers, no rows: kind, sizes, class shares, and for each column its kind, missing share, skew or number of
values, and how strongly it alone goes with the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.kind import Kind
from marl_llm.proposals import Context
from marl_llm.tasks import Task


@dataclass(frozen=True)
class ColumnCard:
    """One column: `missing` and `association` are shares in [0, 1]; `skew` only for numbers, `levels` only for
    words.
    """

    alias: str
    name: str
    numeric: bool
    missing: float
    skew: float
    levels: int
    association: float


@dataclass(frozen=True)
class TaskCard:
    """One task: number of development rows, class shares (empty for regression), metric names and the columns."""

    kind: Kind
    rows: int
    class_shares: tuple[float, ...]
    metrics: tuple[str, ...]
    columns: tuple[ColumnCard, ...]

    def context(self) -> Context:
        """What proposals are checked against."""
        return Context(self.kind, {c.alias: (c.name, c.numeric) for c in self.columns})


def _correlation_ratio(groups: np.ndarray, values: np.ndarray) -> float:
    """Square root of the between-group share of the variance of `values`; both have shape (n,)."""
    total = float(((values - values.mean()) ** 2).sum())
    if total <= 0:
        return 0.0
    frame = pd.DataFrame({"g": groups, "v": values}).groupby("g")["v"].agg(["mean", "size"])
    between = float((frame["size"] * (frame["mean"] - values.mean()) ** 2).sum())
    return float(np.sqrt(min(1.0, between / total)))


def _association(column: pd.Series, numeric: bool, y: np.ndarray, kind: Kind) -> float:
    present = column.notna().to_numpy()
    if present.sum() < 3:
        return 0.0
    target, known = y[present], pd.Series(column.to_numpy()[present])
    if numeric:
        ranks = known.rank().to_numpy()
        if kind.is_classification:
            return _correlation_ratio(target, ranks)
        other = pd.Series(target).rank().to_numpy()
        if ranks.std() == 0 or other.std() == 0:
            return 0.0
        return abs(float(np.corrcoef(ranks, other)[0, 1]))
    words = known.astype(str).to_numpy()
    if not kind.is_classification:
        return _correlation_ratio(words, target)
    table = pd.crosstab(words, target).to_numpy().astype(float)
    return _cramers_v(table)


def _cramers_v(table: np.ndarray) -> float:
    """Bias-free enough for a hint: Cramer's V of a contingency table of shape (levels, classes)."""
    n, smaller = table.sum(), min(table.shape) - 1
    if smaller < 1 or n == 0:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    chi2 = float(((table - expected) ** 2 / expected).sum())
    return float(np.sqrt(min(1.0, chi2 / (n * smaller))))


def _column_card(alias: str, name: str, numeric: bool, column: pd.Series, y: np.ndarray, kind: Kind) -> ColumnCard:
    skew = column.skew() if numeric else 0.0
    return ColumnCard(
        alias=alias,
        name=name,
        numeric=numeric,
        missing=float(column.isna().mean()),
        skew=float(skew) if np.isfinite(skew) else 0.0,  # pyright: ignore[reportArgumentType, reportCallIssue]
        levels=0 if numeric else int(column.nunique()),
        association=_association(column, numeric, y, kind),
    )


def describe_task(task: Task) -> TaskCard:
    """Compute the card of a task from its development part."""
    part = task.development
    shares: tuple[float, ...] = ()
    if task.kind.is_classification:
        counts = np.bincount(part.y.astype(int), minlength=len(task.classes))
        shares = tuple(float(c) / len(part.y) for c in counts)
    columns = tuple(
        _column_card(c.alias, c.name, c.kind == "numeric", column, part.y, task.kind)
        for c, (_, column) in zip(task.columns, part.X.items(), strict=True)
    )
    return TaskCard(task.kind, len(part.y), shares, tuple(task.metrics), columns)
