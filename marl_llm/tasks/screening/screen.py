"""Screening of a task before the agents start: everything that would make its scores mean less than
they seem to.

In: a typed and divided table. Out: traps, in the order of their weight; none on ordinary data. The
target of hold-out and test rows is not read, but for class counts and copies. Large tables are
sampled, always the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from marl_llm.tasks.screening.rows import (
    class_traps,
    duplicate_columns_traps,
    duplicate_rows_trap,
    missing_target_trap,
    time_order_trap,
)
from marl_llm.tasks.screening.several import formula_trap, indicator_trap
from marl_llm.tasks.screening.single import left_out_traps, single_column_traps
from marl_llm.tasks.screening.trap import Trap
from marl_llm.tasks.splits.copies import Copies

_MAX_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class Table:
    """What is screened. All rows have a target; n of them.

    Attributes
    ----------
    X : DataFrame, shape (n, d)
        Typed features under their names in the CSV, rows in the order of the file.
    left_out : DataFrame, shape (sampled development rows, any)
        Typed columns that are no features because they look like ids, in the rows
        `sampled(parts[0])`.
    dates : tuple of str
        Columns of `X` that hold dates.
    y : ndarray, shape (n,)
        int64 class index or float64 value.
    classes : tuple of str
        () for regression.
    target : str
    parts : sequence of ndarray
        Row positions of development, hold-out and test, each ascending.
    copies : Copies
    missing_targets : int
        Rows of the file left out because they had no target.
    split : {"random", "group", "time"}
    """

    X: pd.DataFrame
    left_out: pd.DataFrame
    dates: tuple[str, ...]
    y: np.ndarray
    classes: tuple[str, ...]
    target: str
    parts: Sequence[np.ndarray]
    copies: Copies
    missing_targets: int = 0
    split: Literal["random", "group", "time"] = "random"


def screen(table: Table) -> tuple[Trap, ...]:
    """Find the traps of a table; the same table gives the same traps."""
    chance = table.split == "random"
    traps: list[Trap | None] = [
        *_target_traps(table),
        duplicate_rows_trap(table.copies, table.y, table.parts, together=chance),
        time_order_trap(table.X.loc[:, list(table.dates)]) if chance else None,
        *(class_traps(table.y, table.classes, table.parts, table.target) if table.classes else []),
        missing_target_trap(
            table.missing_targets, len(table.y) + table.missing_targets, table.target
        ),
        *duplicate_columns_traps(table.X, sampled(np.arange(len(table.X)))),
    ]
    return tuple(trap for trap in traps if trap)


def _target_traps(table: Table) -> list[Trap]:
    """Columns that give the target away, on development rows."""
    is_classification, rows = bool(table.classes), sampled(table.parts[0])
    X, y = table.X.iloc[rows], table.y[rows]
    found = single_column_traps(X, y, table.target, is_classification, table.dates)
    found += left_out_traps(table.left_out, y, table.target, is_classification)
    known = {name for trap in found for name in trap.columns}
    rest = X.drop(columns=[name for name in X.columns if name in known])
    values = _values(y, table.classes)
    together = [
        indicator_trap(rest, y, table.target) if is_classification else None,
        formula_trap(rest, values, table.target) if values is not None else None,
    ]
    return [*found, *(trap for trap in together if trap)]


def _values(y: np.ndarray, classes: Sequence[str]) -> np.ndarray | None:
    """The target as a number: for regression, and for three or more classes that are named by
    numbers.
    """
    if not classes:
        return y
    values = np.asarray(
        pd.to_numeric(np.array(classes, dtype=object), errors="coerce"), dtype=np.float64
    )
    return values[y] if len(classes) > 2 and np.isfinite(values).all() else None


def sampled(rows: np.ndarray) -> np.ndarray:
    """At most 10,000 of the rows, in their order, always the same."""
    if len(rows) <= _MAX_ROWS:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), _MAX_ROWS, replace=False))]
