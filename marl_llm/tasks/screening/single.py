"""Columns that alone give the target away: its copy, its missing values, the number of a row, or
any other way.

In: development rows, in the order of the file. Out: traps, at most one per kind, each column in
one. A feature that goes with the target as strongly as honest features do is none: 99 % of the
trivial predictor's errors must be avoided, or 99.99 % of the variance of ranks explained, on rows
not learned from.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from marl_llm.tasks.screening.knowing import (
    CERTAIN,
    EXACT,
    as_number,
    rank_correlation,
    tells_class,
    tells_number,
)
from marl_llm.tasks.screening.trap import Trap, TrapKind, make_trap

_IN_ORDER = 0.5  # what the number of a row may tell of the target at most
_MIN_PRESENT, _MIN_PRESENT_SHARE = 30, 0.2  # rows on which a copy with gaps is recognised

SENTENCES = {
    TrapKind.target_copy: "The target {target} is among the features a second time: {columns}. "
    "Ignore the copy.",
    TrapKind.missingness: "Missing values alone tell the target {target}: {columns}. Ignore it "
    "if filled in later.",
    TrapKind.determines_target: "One column alone tells the target {target}: {columns}. Ignore "
    "it if known only later.",
    TrapKind.row_order: "Rows are numbered in an order that tells the target {target}: {columns}. "
    "Ignore the number.",
}
_LEFT_OUT = (
    "A column that is left out as an id tells the target {target}: {columns}. Never name it as a "
    "feature."
)


def single_column_traps(
    X: pd.DataFrame,
    y: np.ndarray,
    target: str,
    is_classification: bool,
    dates: Collection[str] = (),
) -> list[Trap]:
    """Traps of single features.

    Parameters
    ----------
    X : DataFrame, shape (n, d)
        Typed columns under their names in the CSV, rows in the order of the file.
    y : ndarray, shape (n,)
        int64 class index or float64 value.
    target : str
        Its name.
    is_classification : bool
    dates : collection of str
        Columns whose order in the file is judged as time, not as the number of a row.
    """
    found: dict[TrapKind, list[str]] = {kind: [] for kind in SENTENCES}
    for name, column in X.items():
        kind = _judge(column, y, is_classification, may_count=name not in dates)
        if kind:
            found[kind].append(str(name))
    return [
        make_trap(kind, names, SENTENCES[kind], target) for kind, names in found.items() if names
    ]


def left_out_traps(
    X: pd.DataFrame, y: np.ndarray, target: str, is_classification: bool
) -> list[Trap]:
    """One trap for columns that are no features because they look like ids, but tell the target;
    see above.
    """
    telling = [
        str(name)
        for name, column in X.items()
        if _judge(column, y, is_classification, may_count=True)
    ]
    return [make_trap(TrapKind.row_order, telling, _LEFT_OUT, target)] if telling else []


def _judge(
    column: pd.Series, y: np.ndarray, is_classification: bool, may_count: bool
) -> TrapKind | None:
    x = as_number(column)
    if (_copies_class if is_classification else _copies_number)(x, y):
        return TrapKind.target_copy
    missing = np.isnan(x)
    if (
        is_classification
        and missing.any()
        and tells_class(missing.astype(np.float64), y) >= CERTAIN
    ):
        return TrapKind.missingness
    told = tells_class(x, y) if is_classification else tells_number(x, y)
    if may_count and told >= _IN_ORDER and _counts_rows(x, column.dtype == object):
        return TrapKind.row_order
    return TrapKind.determines_target if told >= (CERTAIN if is_classification else EXACT) else None


def _copies_class(x: np.ndarray, y: np.ndarray) -> bool:
    """One value for each class and the other way round, on the rows that have a value."""
    present = ~np.isnan(x)
    classes = len(np.unique(y))
    if not _enough(present) or len(np.unique(y[present])) < classes:
        return False
    values, codes = np.unique(x[present], return_inverse=True)
    return len(values) == classes and len(np.unique(codes * (y.max() + 1) + y[present])) == classes


def _copies_number(x: np.ndarray, y: np.ndarray) -> bool:
    """The same values, or the same in another unit, on the rows that have a value."""
    present = ~np.isnan(x)
    if not _enough(present) or np.ptp(x[present]) == 0 or np.ptp(y[present]) == 0:
        return False
    return (
        abs(np.corrcoef(x[present], y[present])[0, 1]) > 1 - 1e-10
        and abs(rank_correlation(x[present], y[present])) > 1 - 1e-6
    )  # one gross value can make the first correlation alone


def _enough(present: np.ndarray) -> bool:
    return present.sum() >= max(_MIN_PRESENT, _MIN_PRESENT_SHARE * len(present))


def _counts_rows(x: np.ndarray, is_text: bool) -> bool:
    """True if values, whole numbers or text, only rise or only fall through the file."""
    if np.isnan(x).any() or not (is_text or (x % 1 == 0).all()):
        return False
    steps = np.diff(x)
    return bool((steps > 0).all() or (steps < 0).all())
