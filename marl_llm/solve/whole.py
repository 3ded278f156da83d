"""All rows of a task's CSV in the file's order, and how each column was read: what the delivered model is fitted on.

A `Task` holds three parts of the rows and keeps no positions; the order matters to estimators that draw rows, so the
file is read again by the same functions. Nothing is fitted here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.errors import RunFailed
from marl_llm.solve import standalone
from marl_llm.tasks import Task
from marl_llm.tasks.columns import typed_column
from marl_llm.tasks.reading import read_csv
from marl_llm.tasks.target import read_target

BOOLEANS = {"True", "False"}


@dataclass(frozen=True)
class Reading:
    """How one column of the CSV is read again: "number", "boolean" or "text", and its decimal mark."""

    name: str
    kind: str
    mark: str


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
    frame, decimal = read_csv(task.source).frame, task.dialect.decimal
    answers, _ = typed_column(pd.Series(frame[task.target]), decimal)
    has_target = answers.notna()
    y = read_target(answers.dropna(), task.target, task.kind).y
    rows = frame.loc[has_target].reset_index(drop=True)
    raw = {column.alias: pd.Series(rows[column.name]) for column in task.columns}
    typed = {alias: typed_column(column, decimal)[0] for alias, column in raw.items()}
    if len(y) != sum(map(len, (task.development, task.holdout, task.test))):
        raise RunFailed(f"{task.source} has changed while its model was improved: run the command again.")
    readings = {alias: _reading(raw[alias], typed[alias], decimal) for alias in raw}
    return WholeTable(pd.DataFrame(typed), y, readings, _reading(pd.Series(frame[task.target]), answers, decimal))


def _reading(raw: pd.Series, typed: pd.Series, decimal: str) -> Reading:
    """How to read a column again: under the decimal mark that reads most of it, so that few rows are read like many."""
    name = str(raw.name)
    if typed.dtype == object:
        kind = "boolean" if set(typed.dropna()) <= BOOLEANS else "text"
        return Reading(name, kind, decimal)
    marks = (decimal, "," if decimal == "." else ".")
    return Reading(name, "number", max(marks, key=lambda mark: standalone.read_numbers(raw, mark).notna().sum()))
