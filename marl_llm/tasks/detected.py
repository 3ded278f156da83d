"""What was found in a CSV, for people to look over and to change.

In: a task. Out: a table as lines of text, and a task file that spells out every decision.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.dialect import WORDS, Dialect
from marl_llm.tasks.labels import MERGED
from marl_llm.tasks.selection import Detection
from marl_llm.tasks.task import Task

_HEADER = ("alias", "column", "kind", "missing", "example", "remark")


def detected(task: Task) -> list[str]:
    """A table of lines: how the file is read, then the target and each column that was considered.

    A line has the alias ("-" for a column that was left out), the column's name, its kind, the
    share of missing values, the first value as it stands in the file, and what was decided.
    """
    aliases = {column.name: column.alias for column in task.columns} | {task.target: "target"}
    rows = [_HEADER, *(_row(found, aliases.get(found.name, "-")) for found in task.detections)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [*_about_file(task.dialect), _about_target(task), *lines]


def task_file(task: Task, csv_path: Path | str) -> str:
    """YAML of a task file with everything spelled out that was detected; it loads back to the same
    task.

    Parameters
    ----------
    task : Task
        Of a CSV, divided in the default fractions.
    csv_path : path
        As it is to stand in the file: absolute, or seen from the directory of the task file.

    Raises
    ------
    UserError
        If the task was made of a DataFrame.
    """
    if task.dialect is None:
        raise UserError(
            f"The task '{task.name}' was made of a DataFrame: only one of a CSV has a task file."
        )
    kept = {
        found.name: found.override
        for found in task.detections
        if found.kept and found.source is None
    }
    content: dict[str, object] = {
        "csv": str(csv_path),
        "target": task.target,
        "kind": str(task.kind),
    }
    if len(task.classes) == 2:
        content["positive"] = task.classes[1]
    content["metrics"] = task.metrics
    if task.split_column is not None:
        content[task.split] = task.split_column
    content |= _dialect_keys(task.dialect)
    if task.merged_labels:
        content["labels"] = MERGED
    content |= {
        "seed": task.seed,
        "features": [column.name for column in task.columns if column.source is None],
        "columns": kept,
    }
    comments = [f"# {line}" for line in detected(task)]
    return "\n".join(
        [*comments, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)]
    )


def _row(found: Detection, alias: str) -> tuple[str, ...]:
    example = " ".join(found.example.split())
    return (
        alias,
        found.name,
        found.override or found.kind,
        f"{found.missing:.1%}",
        example,
        found.remark,
    )


def _about_file(dialect: Dialect | None) -> list[str]:
    if dialect is None:
        return []
    words = f"; missing as well: {', '.join(dialect.missing)}" if dialect.missing else ""
    return [dialect.note + words, *(f"note: {remark}" for remark in dialect.remarks)]


def _about_target(task: Task) -> str:
    found = next(found for found in task.detections if found.name == task.target)
    if not task.classes:
        return f"target '{task.target}': {task.kind}"
    otherwise = ", or with kind regression a number" if found.kind == "numeric" else ""
    return f"target '{task.target}': {task.kind}, {len(task.classes)} classes{otherwise}"


def _dialect_keys(dialect: Dialect) -> dict[str, object]:
    keys: dict[str, object] = {
        "encoding": dialect.encoding,
        "delimiter": WORDS.get(dialect.delimiter, dialect.delimiter),
        "decimal": dialect.decimal,
        "missing": list(dialect.missing),
    }
    if dialect.left_out:
        keys["skip"] = [*range(1, dialect.skipped + 1), *dialect.left_out]
    elif dialect.skipped:
        keys["skip"] = dialect.skipped
    if dialect.header is not None:
        keys["header"] = list(dialect.header)
    return keys
