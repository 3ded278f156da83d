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
from marl_llm.tasks.columns import Decision, read_as
from marl_llm.tasks.columns.marks import Marks
from marl_llm.tasks.csv.dialect import Dialect
from marl_llm.tasks.labels import EXACT, MERGED, one_spelling
from marl_llm.tasks.selection import Reader
from marl_llm.tasks.target import read_target
from marl_llm.tasks.understood import read_again


@dataclass(frozen=True)
class Reading:
    """How one column of the CSV is read again.

    Attributes
    ----------
    name : str
        Of the column in the CSV.
    decision : Decision
        Fixed, so that few rows are read like many.
    """

    name: str
    decision: Decision


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
    assert task.dialect is not None
    dialect = task.dialect
    frame = read_again(task)
    decisions = {found.name: found.decision for found in task.detections}
    answers = _read(frame, task.target, decisions[task.target], dialect)
    has_target = answers.notna()
    rows = frame.loc[has_target].reset_index(drop=True)
    labels = one_spelling(answers.loc[has_target], MERGED if task.merged_labels else EXACT)
    y = read_target(labels.values, task.target, task.kind, _positive(task)).y
    if _usable(task, rows) != sum(map(len, (task.development, task.holdout, task.test))):
        raise RunFailed(
            f"{task.source} has changed while its model was improved: run the command again."
        )
    readings = {
        column.alias: Reading(column.source or column.name, decisions[column.name])
        for column in task.columns
    }
    return WholeTable(
        pd.DataFrame(
            {
                alias: _read(rows, reading.name, reading.decision, dialect)
                for alias, reading in readings.items()
            }
        ),
        y,
        readings,
        Reading(task.target, decisions[task.target]),
    )


def _read(frame: pd.DataFrame, name: str, decision: Decision, dialect: Dialect) -> pd.Series:
    return read_as(frame.loc[:, name], decision, dialect.missing)


def _usable(task: Task, rows: pd.DataFrame) -> int:
    """How many rows the task has: after a split by time, those that have a time."""
    if task.split != "time" or task.split_column is None or task.dialect is None:
        return len(rows)
    dialect = task.dialect
    reader = Reader(
        Marks(dialect.decimal),
        dialect.missing,
        {found.name: found.override for found in task.detections if found.source is None},
    )
    return int(reader.read(rows.loc[:, task.split_column], task.split_column).values.notna().sum())


def _positive(task: Task) -> str | None:
    return task.classes[1] if len(task.classes) == 2 else None
