"""The text of `solution.py`: one file that fits and predicts without this package, written for one
CSV and one spec.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from pprint import pformat
from types import ModuleType

from marl_llm.metrics import Scores
from marl_llm.proposals import PipelineSpec, generate_code, prelude_for
from marl_llm.solve import standalone
from marl_llm.solve.whole import WholeTable
from marl_llm.tasks import Task
from marl_llm.tasks.columns import (
    MISSING_WORDS,
    Decision,
    cells,
    dates,
    durations,
    quantities,
    readings,
)

MARK = "# ---- solution.py goes on from here ----\n"
_IMPORTS = """\
import csv
import random
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

"""


_MODULES = (cells, dates, durations, quantities, readings, standalone)


def solution_text(
    task: Task, table: WholeTable, spec: PipelineSpec, scores: dict[str, Scores | None], seed: int
) -> str:
    """Write a solution.

    Parameters
    ----------
    task, table
        The CSV, and how its columns are read.
    spec : PipelineSpec
        The solution; its code is `generate_code(spec)`.
    scores : dict of part to Scores
        Shown in the header; None where a part was not scored.
    seed : int
        numpy and random are seeded with it before `build_pipeline()`, as in the sandbox.
    """
    body = "\n\n\n".join(_below_mark(module) for module in _MODULES)
    code = generate_code(spec)
    return "\n\n".join(
        (
            _header(task, table, scores) + _IMPORTS + prelude_for(code).rstrip("\n"),
            _constants(task, table, seed) + "\n\n\n" + code,
            "\n" + body + "\n",
        )
    )


def _below_mark(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8").split(MARK)[1].strip("\n")


def _header(task: Task, table: WholeTable, scores: dict[str, Scores | None]) -> str:
    name = Path(task.source or task.name).name
    what = "the class" if task.classes else "the number"
    lines = [
        f"Predicts {what} {task.target!r} of {name!r}; found and tested by marl-llm on "
        f"{len(table.y)} rows.",
        "",
        "    python solution.py TRAIN.csv NEW.csv PREDICTIONS.csv",
        "",
        "fits on TRAIN.csv, predicts the rows of NEW.csv (the same columns, with or without the "
        "target) and writes them in the same order. Delimiter, decimal mark and encoding are those "
        "of the CSV it was made for:",
        *(f"- {note}" for note in task.notes),
        "",
        "Needs scikit-learn, pandas and numpy. In Python: `model = fit(frame)`, `predict(model, "
        "frame)`, with frames under the CSV's own column names.",
        "",
        *(f"{part}: {_metrics(score)}" for part, score in scores.items() if score is not None),
        "",
        "model.joblib beside this file holds the same pipeline fitted on all rows, with its "
        "columns and classes: "
        '`joblib.load("model.joblib")["model"]`. Loading that file needs the marl_llm '
        "package; this file does not.",
    ]
    wrapped = [
        part
        for line in lines
        for part in textwrap.wrap(_plain(line), 116, drop_whitespace=True) or [""]
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in wrapped)


def _metrics(scores: Scores) -> str:
    return ", ".join(
        [
            *(f"{name} {value:.4f}" for name, value in scores.raw.items()),
            f"score {scores.score:.4f}",
        ]
    )


def _plain(text: str) -> str:
    """Text that stays on its comment line."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return indent + " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _constants(task: Task, table: WholeTable, seed: int) -> str:
    assert task.dialect is not None
    target, dialect = table.target, task.dialect
    words = MISSING_WORDS | set(dialect.missing)
    values = {
        "ENCODING": dialect.encoding,
        "DELIMITER": dialect.delimiter,
        "DECIMAL": dialect.decimal,
        "MISSING_WORDS": sorted(words),
        "TARGET_NAME": target.name,
        "TARGET_READING": _entry(target.decision),
        "CLASSES": task.classes,
        "SEED": seed,
        "MERGED_LABELS": task.merged_labels,
        "REGULAR": dialect.regular,
        "SKIP": dialect.skipped,
        "ROW_NAMES": dialect.row_names,
        "HEADER": dialect.header or (),
        "NO_DATA": dialect.marks,
        "OWN_MISSING_WORDS": _own_words(table, words),
    }
    lines = [
        f"{name} = {pformat(value, width=110, compact=True)}" for name, value in values.items()
    ]
    columns = [
        f"    {alias!r}: {(reading.name, *_entry(reading.decision))!r},"
        for alias, reading in table.readings.items()
    ]
    return "\n".join(
        [
            *lines,
            "COLUMNS = {  # alias: name in the CSV, how it is read, and what that reading takes",
            *columns,
            "}",
        ]
    )


def _entry(decision: Decision) -> tuple[object, ...]:
    return (decision.reading, *decision.parameters)


def _own_words(table: WholeTable, words: set[str] | frozenset[str]) -> dict[str, list[str]]:
    """Words for missing of the columns that have other ones than the file, by alias."""
    readings = {**table.readings, "": table.target}
    own = {
        alias: sorted((words | set(reading.decision.missing)) - set(reading.decision.keep))
        for alias, reading in readings.items()
    }
    return {alias: found for alias, found in own.items() if found != sorted(words)}
