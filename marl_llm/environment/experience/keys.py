"""Who a data set is: a hash of its rows, so that one table is one data set under whatever name,
split and metrics.
"""

from __future__ import annotations

import hashlib

import numpy as np
from pandas.util import hash_pandas_object

from marl_llm.tasks import Task
from marl_llm.tasks.parts import Part


def table_key(task: Task) -> str:
    """Sixteen hexadecimal digits of the kind of target and of all rows with their target, in
    whatever order.

    `Task.key` depends on the split as well; this does not, nor on names, paths and metrics. A table
    with one row or one feature more is another one.
    """
    parts = (task.development, task.holdout, task.test)
    rows = np.sort(np.concatenate([_row_hashes(part, task.classes) for part in parts]))
    return hashlib.sha256(f"{task.kind} ".encode() + rows.tobytes()).hexdigest()[:16]


def _row_hashes(part: Part, classes: tuple[str, ...]) -> np.ndarray:
    """uint64, shape (n,); of classes their names count, not which of them has index 1."""
    target = np.asarray(classes, dtype=object)[part.y.astype(int)] if classes else part.y
    whole = part.X.assign(**{_TARGET: target})
    return np.asarray(hash_pandas_object(whole, index=False))  # pyright: ignore[reportCallIssue]


_TARGET = "target"
"""No alias of a column."""
