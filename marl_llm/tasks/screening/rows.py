"""Traps of rows and of whole columns: copies, order in time, small classes, missing targets,
columns twice.

In: positions, counts and columns of a divided table. Out: traps. No target is predicted here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from marl_llm.tasks.screening.trap import Trap, TrapKind, make_trap, quoted
from marl_llm.tasks.splits.copies import Copies, conflicting_rows

_SHARE_OF_REPEATS = 0.01
_MIN_TIMES = 10
_MIN_ROWS_OF_CLASS = (5, 2, 2)  # in development, one for each of up to five folds; hold-out; test
_PARTS = ("development", "hold-out", "test")


def duplicate_rows_trap(
    copies: Copies, y: np.ndarray, parts: Sequence[np.ndarray], together: bool
) -> Trap | None:
    """Rows that repeat others; `together` if the split keeps them in one part, else those across
    parts count.
    """
    repeats = copies.repeats if together else _across(copies.units, parts)
    if not copies.together or repeats < max(2, _SHARE_OF_REPEATS * len(y)):
        return None
    conflicting = conflicting_rows(copies.units, y)
    others = f", {conflicting} with another target" if conflicting else ""
    if together:
        sentence = (
            f"{repeats} of {len(y)} rows repeat another row's features{others}: copies stay in "
            "one part and fold."
        )
    else:
        sentence = (
            f"{repeats} rows of hold-out and test repeat development rows{others}: remove copies "
            "from the file."
        )
    return make_trap(TrapKind.duplicate_rows, (), sentence)


def duplicate_columns_traps(X: pd.DataFrame, sample: np.ndarray) -> list[Trap]:
    """One trap for each set of columns with the same content; candidates are those alike in the
    rows of `sample`.
    """
    alike: dict[str, list[str]] = {}
    for name, column in X.iloc[sample].items():
        content = hash_pandas_object(column, index=False)  # pyright: ignore[reportCallIssue]
        alike.setdefault(hashlib.sha256(np.asarray(content).tobytes()).hexdigest(), []).append(
            str(name)
        )
    sets = [
        [name for name in names if X.loc[:, name].equals(X.loc[:, names[0]])]
        for names in alike.values()
    ]
    sentence = "Columns with the same content: {columns}. Ignore all but one of them."
    return [
        make_trap(TrapKind.duplicate_columns, names, sentence) for names in sets if len(names) > 1
    ]


def time_order_trap(dates: pd.DataFrame) -> Trap | None:
    """Date columns (float64 days) that only rise or only fall through the file, or None."""
    sorted_by = [
        str(name) for name, column in dates.items() if _is_sorted(column.dropna().to_numpy())
    ]
    if not sorted_by:
        return None
    sentence = (
        "Rows are sorted by {columns}: if later rows are to be predicted, split by time (option "
        "time)."
    )
    return make_trap(TrapKind.time_order, sorted_by, sentence)


def class_traps(
    y: np.ndarray, classes: Sequence[str], parts: Sequence[np.ndarray], target: str
) -> list[Trap]:
    """Classes without rows in one of the parts, or with so few that their scores are noise."""
    sizes = np.array(
        [np.bincount(y[part], minlength=len(classes)) for part in parts]
    )  # (parts, classes)
    traps: list[Trap] = []
    absent = np.flatnonzero((sizes == 0).any(axis=0)).tolist()
    too_few = (sizes < np.array(_MIN_ROWS_OF_CLASS)[:, None]).any(axis=0)
    small = np.flatnonzero(too_few & (sizes > 0).all(axis=0)).tolist()
    if absent:
        where = " and ".join(_PARTS[part] for part in range(3) if (sizes[part] == 0).any())
        so = "cannot be learned" if (sizes[0] == 0).any() else "scores say nothing about it"
        sentence = f"{_named(classes, absent, sizes)} of {{target}} not in {where}: {so}."
        traps.append(make_trap(TrapKind.absent_class, (), sentence, target))
    if small:
        named = _named(classes, small, sizes)
        sentence = f"{named} of {{target}} hardly enough to divide: join with another or add rows."
        traps.append(make_trap(TrapKind.small_class, (), sentence, target))
    return traps


def missing_target_trap(missing: int, rows: int, target: str) -> Trap | None:
    """Rows that had no target, of `rows` in the file."""
    if not missing:
        return None
    sentence = (
        f"{missing} of {rows} rows have no value of the target {{target}} and are left out: find "
        "out why."
    )
    return make_trap(TrapKind.missing_target, (), sentence, target)


def _across(units: np.ndarray, parts: Sequence[np.ndarray]) -> int:
    """Rows of hold-out and test that repeat a development row."""
    return int(sum(np.isin(units[part], units[parts[0]]).sum() for part in parts[1:]))


def _is_sorted(times: np.ndarray) -> bool:
    if len(np.unique(times)) < _MIN_TIMES:
        return False
    steps = np.diff(times)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _named(classes: Sequence[str], positions: Sequence[int], sizes: np.ndarray) -> str:
    """The first of the classes with its rows, and how many more there are; `sizes` has shape
    (parts, classes).
    """
    more = f" and {len(positions) - 1} more" if len(positions) > 1 else ""
    rows = int(sizes[:, positions[0]].sum())
    return f"Class {quoted(classes[positions[0]])} ({rows} row{'s' if rows != 1 else ''}){more}"
