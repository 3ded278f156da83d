"""All rows of a task's CSV in the file's order, and how each column was read: what the delivered
model is fitted on.

A `Task` holds three parts of the rows and keeps no positions; the order matters to estimators that
draw rows, so the file is read again by the same functions. Nothing is fitted here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.core.errors import RunFailed
from marl_llm.tasks import Task
from marl_llm.tasks.columns import TypedColumn
from marl_llm.tasks.csv.reading import read_csv
from marl_llm.tasks.labels import EXACT, MERGED, one_spelling
from marl_llm.tasks.selection import Reader
from marl_llm.tasks.target import read_target


@dataclass(frozen=True)
class Reading:
    """How one column of the CSV is read again.

    Attributes
    ----------
    name : str
    kind : str
        "number", "date", "boolean" or "text".
    mark : str
        The decimal mark of numbers, "day first" or "month first" of dates; "" for the others.
    """

    name: str
    kind: str
    mark: str

    @classmethod
    def of(cls, name: str, column: TypedColumn) -> Reading:
        """Of a typed column: fixed, so that few rows are read like many."""
        if column.kind in ("numeric", "date"):
            return cls(name, "date" if column.kind == "date" else "number", column.how)
        return cls(name, column.how or "text", "")


@dataclass(frozen=True, eq=False)
class WholeTable:
    """Every row that has a target.

    Attributes
    ----------
    X : DataFrame, shape (n, columns)
        Named by alias, float64 or object of str, as in the task's parts.
    y : ndarray, shape (n,)
        int64 class index or float64 value.
    readings : dict of alias to Reading
    target : Reading
    """

    X: pd.DataFrame
    y: np.ndarray
    readings: dict[str, Reading]
    target: Reading


def whole_table(task: Task) -> WholeTable:
    """Read the CSV of a task again, whole.

    Raises
    ------
    UserError
        The file is gone, or its rows changed in the meantime (RunFailed).
    """
    assert task.source is not None and task.dialect is not None
    dialect = task.dialect
    frame = read_csv(task.source, dialect.overrides).frame
    reader = Reader(
        dialect.decimal, dialect.missing, {found.name: found.override for found in task.detections}
    )
    answers = reader.read(frame.loc[:, task.target], task.target)
    has_target = answers.values.notna()
    rows = frame.loc[has_target].reset_index(drop=True)
    labels = one_spelling(answers.values.loc[has_target], MERGED if task.merged_labels else EXACT)
    y = read_target(labels.values, task.target, task.kind, _positive(task)).y
    if _usable(task, rows, reader) != sum(map(len, (task.development, task.holdout, task.test))):
        raise RunFailed(
            f"{task.source} has changed while its model was improved: run the command again."
        )
    typed = {
        column.alias: reader.read(rows.loc[:, column.name], column.name) for column in task.columns
    }
    return WholeTable(
        pd.DataFrame({alias: column.values for alias, column in typed.items()}),
        y,
        {column.alias: Reading.of(column.name, typed[column.alias]) for column in task.columns},
        Reading.of(task.target, answers),
    )


def _usable(task: Task, rows: pd.DataFrame, reader: Reader) -> int:
    """How many rows the task has: after a split by time, those that have a time."""
    if task.split != "time" or task.split_column is None:
        return len(rows)
    return int(reader.read(rows.loc[:, task.split_column], task.split_column).values.notna().sum())


def _positive(task: Task) -> str | None:
    return task.classes[1] if len(task.classes) == 2 else None
