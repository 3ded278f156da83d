"""`TaskCard`: what the agents are told about the data, computed once per task from the development
rows only.

It holds numbers, no rows: kind, sizes, class shares, and for each column its kind, missing share,
skew or number of values, and how strongly it alone goes with the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.proposals import ColumnFacts, Context
from marl_llm.proposals.ops.columns import NUMBERS, ColumnKind
from marl_llm.tasks import Column, Task


@dataclass(frozen=True)
class ColumnCard:
    """One column: `missing` and `association` are shares in [0, 1]; `skew` only for numbers,
    `levels` only for words.
    """

    alias: str
    name: str
    kind: ColumnKind
    missing: float
    skew: float
    levels: int
    association: float

    @property
    def numeric(self) -> bool:
        """True for a column that is a number to every transformer (dates are)."""
        return self.kind in NUMBERS


@dataclass(frozen=True)
class TaskCard:
    """One task: number of development rows, class shares (empty for regression), metric names, the
    columns, what the screening warns of, and the least value of a numeric target.
    """

    kind: Kind
    rows: int
    class_shares: tuple[float, ...]
    metrics: tuple[str, ...]
    columns: tuple[ColumnCard, ...]
    warnings: tuple[str, ...] = ()
    lowest_target: float | None = None

    def context(self) -> Context:
        """What proposals are checked against."""
        facts = {c.alias: ColumnFacts(c.name, c.kind, c.missing > 0) for c in self.columns}
        smallest = min(
            (round(share * self.rows) for share in self.class_shares if share > 0), default=None
        )
        return Context(self.kind, facts, self.rows, self.lowest_target, smallest)


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


def _column_card(column: Column, values: pd.Series, y: np.ndarray, kind: Kind) -> ColumnCard:
    numeric = column.kind in NUMBERS
    skew = float(values.skew()) if numeric else 0.0  # pyright: ignore[reportArgumentType]
    measured = (
        values.str.len() if column.kind == "text" else values
    )  # of a text only its length says something here
    return ColumnCard(
        alias=column.alias,
        name=column.name,
        kind=column.kind,
        missing=float(values.isna().mean()),
        skew=skew if np.isfinite(skew) else 0.0,
        levels=0 if numeric else int(values.nunique()),
        association=_association(measured, column.kind != "categorical", y, kind),
    )


def describe_task(task: Task) -> TaskCard:
    """Compute the card of a task from its development part."""
    part = task.development
    shares: tuple[float, ...] = ()
    if task.kind.is_classification:
        counts = np.bincount(part.y.astype(int), minlength=len(task.classes))
        shares = tuple(float(c) / len(part.y) for c in counts)
    columns = tuple(
        _column_card(column, values, part.y, task.kind)
        for column, (_, values) in zip(task.columns, part.X.items(), strict=True)
    )
    lowest = None if task.kind.is_classification else float(part.y.min())
    return TaskCard(
        task.kind,
        len(part.y),
        shares,
        tuple(task.metrics),
        columns,
        task.warnings_for_agents,
        lowest,
    )
