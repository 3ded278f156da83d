"""A CSV as it was understood, for people and programs to hold against the file.

In: a task. Out: the whole table with its own column names, decimal points and ISO dates, empty
where a cell is missing; and a record of every column's kind, reading and reason.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.core.atomic import write_text
from marl_llm.core.errors import UserError
from marl_llm.tasks.columns import Decision, read_as
from marl_llm.tasks.columns.marks import Marks
from marl_llm.tasks.csv.reading import read_csv
from marl_llm.tasks.selection import Detection, Reader
from marl_llm.tasks.task import Task

_DAY = 86_400_000_000
_EXACT = 2**53


def read_again(task: Task) -> pd.DataFrame:
    """The cells of a task's CSV as text, all rows in their order.

    Raises
    ------
    UserError
        If the task was made of a DataFrame, or the file is gone.
    """
    if task.source is None or task.dialect is None:
        raise UserError(
            f"The task '{task.name}' was made of a DataFrame: there is no file to read."
        )
    return read_csv(task.source, task.dialect.overrides).frame


def understood(task: Task) -> pd.DataFrame:
    """The table as it was read: numbers, text, dates as ISO text; NaN where a cell is missing.

    All columns and rows of the file, and what stands beside the numbers of a column next to it.
    """
    frame = read_again(task)
    assert task.dialect is not None
    words, named = task.dialect.missing, task.dialect.named_decimal
    reader = Reader(Marks.of(frame, task.dialect.decimal, named), words)
    found = {one.name: one for one in task.detections}
    beside = {one.source: one for one in task.detections if one.source is not None}
    columns: dict[str, pd.Series] = {}
    for name in map(str, frame.columns):
        cells = frame.loc[:, name]
        decision = found[name].decision if name in found else reader.read(cells, name).decision
        columns[name] = _shown(cells, decision, words)
        if name in beside:
            columns[beside[name].name] = _shown(cells, beside[name].decision, words)
    return pd.DataFrame(columns)


def write_understood(task: Task, path: Path) -> None:
    """Write the table as a CSV: UTF-8, comma separated, decimal points.

    Raises
    ------
    UserError
        If it would be written over the task's own file.
    """
    if task.source is not None and path.exists() and path.samefile(task.source):
        raise UserError(f"{path} is the CSV itself: name another file for the table.")
    write_text(path, understood(task).to_csv(index=False))


def detected_record(task: Task) -> dict[str, Any]:
    """What was detected, as plain data: the file, then the target and each column considered."""
    aliases = {column.name: column.alias for column in task.columns}
    dialect = None if task.dialect is None else asdict(task.dialect)
    return {
        "csv": task.source,
        "file": dialect,
        "target": task.target,
        "kind": str(task.kind),
        "classes": list(task.classes),
        "columns": [
            _record(one, "target" if one.name == task.target else None, aliases.get(one.name))
            for one in task.detections
        ],
        "notes": list(task.notes),
        "warnings": list(task.warnings),
    }


def _record(found: Detection, role: str | None, alias: str | None) -> dict[str, Any]:
    decision = found.decision
    return {
        "name": found.name,
        "role": role or ("feature" if found.kept else "left out"),
        "alias": None if role else alias,
        "kind": decision.kind,
        "reading": decision.reading,
        "parameters": list(decision.parameters),
        "missing_words": list(decision.missing),
        "kept_words": list(decision.keep),
        "reason": decision.reason,
        "task_file": decision.line or None,
        "beside": found.source,
        "missing": found.missing,
        "example": found.example,
        "remark": found.remark,
    }


def _shown(cells: pd.Series, decision: Decision, words: tuple[str, ...]) -> pd.Series:
    values = read_as(cells, decision, words)
    if decision.kind == "date":
        return _iso(values)
    if values.dtype == np.float64 and bool((values.dropna() % 1 == 0).all()):
        return values.astype("Int64") if (values.abs().max() or 0) < _EXACT else values
    return values


def _iso(days: pd.Series) -> pd.Series:
    """Days since 1970-01-01 as ISO dates, with the time where some value has one."""
    moments = (days * _DAY).round().astype("Int64")
    whole = bool((moments.dropna() % _DAY == 0).all())
    stamps = pd.Series(
        moments.fillna(0).to_numpy(np.int64).view("datetime64[us]"), index=days.index
    )
    text = stamps.dt.strftime("%Y-%m-%d" if whole else "%Y-%m-%dT%H:%M:%S")
    return text.where(days.notna(), None)
