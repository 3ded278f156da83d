"""Builds the training suite: CSVs, `suite.yaml`, a README with licences, and `manifest.json` with
checksums.

In: the declared tables, a directory. Out: the files and a `BuildReport`. What is there already,
unchanged, is kept, so that an interrupted build goes on; a table that cannot be read or makes no
task is reported and left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from marl_llm.core.atomic import write_text
from marl_llm.core.errors import UserError
from marl_llm.tasks.suite import SUITE_FILE
from marl_llm.tasks.task import Task
from marl_llm.tasks.training_suite.declared import Made, Table, declared_tables
from marl_llm.tasks.training_suite.documents import readme, suite_text
from marl_llm.tasks.training_suite.held_out import HeldOut
from marl_llm.tasks.training_suite.packages import BrokenTable, read_table, require_packages

MANIFEST = "manifest.json"
README = "README.md"
_FORMAT = 1
"""Of the CSVs: raised when the same table would be written otherwise."""


@dataclass(frozen=True)
class BuildReport:
    """What a build came to: names of tables written, kept from an earlier build, and left out with
    the reason.
    """

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


def build_suite(
    out: Path,
    *,
    held_out: Sequence[Path] = (),
    on_line: Callable[[str], None] = lambda line: None,
    tables: Sequence[Table] | None = None,
) -> BuildReport:
    """Write the suite into a directory.

    Parameters
    ----------
    out : Path
        Made if it is not there. Files of other names in it are left alone.
    held_out : sequence of Path
        Directories of CSVs that models are measured on: a table that repeats one of them is left
        out.
    on_line : callable
        Told a line per table.
    tables : sequence of Table, optional
        Default: all that are declared.

    Raises
    ------
    UserError
        A package is missing, `out` is a file, or a held-out directory has no CSV.
    RunFailed
        The disk refuses a file.
    """
    tables = declared_tables() if tables is None else tables
    versions = require_packages(table.package for table in tables)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: name a directory for the suite.")
    guard, report = HeldOut(held_out), BuildReport()
    before = _manifest(out)
    made: dict[str, Made] = {}
    for number, table in enumerate(tables, start=1):
        declared = _digest(table, versions[table.package])
        known = _unchanged(out, before.get(table.name), declared)
        try:
            made[table.name] = (
                _checked(out, guard, known) if known else _written(out, table, guard, declared)
            )
        except BrokenTable as error:
            report.broken[table.name] = str(error)
            (out / f"{table.name}.csv").unlink(missing_ok=True)
            on_line(f"[{number}/{len(tables)}] {table.name}: left out, {error}")
            continue
        (report.kept if known else report.written).append(table.name)
        shape = f"{made[table.name]['rows']} rows, {made[table.name]['columns']} columns"
        on_line(
            f"[{number}/{len(tables)}] {table.name}: {shape}, "
            f"{table.kind}{', kept' if known else ''}"
        )
    _finish(out, [table for table in tables if table.name in made], made, versions)
    return report


def _written(out: Path, table: Table, guard: HeldOut, declared: str) -> Made:
    """Write a table's CSV and try it as a task; what the manifest says of it."""
    frame = read_table(table)
    _refuse_copy(guard, frame)
    text = frame.to_csv(index=False, lineterminator="\n")
    path = out / f"{table.name}.csv"
    write_text(path, text)
    try:
        Task.from_csv(
            path,
            target=table.target,
            kind=table.kind,
            metrics=table.metrics,
            positive=table.positive,
            features=table.features,
            ignore=table.ignore,
            group=table.group,
            kinds=table.columns,
        )
    except UserError as error:
        raise BrokenTable(f"it makes no task ({error})") from None
    rows, columns = frame.shape
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return {
        "csv": path.name,
        "declared": declared,
        "sha256": sha256,
        "rows": rows,
        "columns": columns,
    }


def _unchanged(out: Path, known: Made | None, declared: str) -> Made | None:
    """What an earlier manifest says of a table, if its declaration and its CSV are still the
    same.
    """
    if (
        known is None
        or known["declared"] != declared
        or _sha256(out / known["csv"]) != known["sha256"]
    ):
        return None
    return known


def _checked(out: Path, guard: HeldOut, known: Made) -> Made:
    _refuse_copy(guard, pd.read_csv(out / known["csv"], low_memory=False))
    return known


def _refuse_copy(guard: HeldOut, frame: pd.DataFrame) -> None:
    if copied := guard.copied_from(frame):
        raise BrokenTable(f"it repeats the held-out table {copied}")


def _finish(
    out: Path, tables: Sequence[Table], made: dict[str, Made], versions: dict[str, str]
) -> None:
    """Write the files that speak of all tables, the manifest last."""
    write_text(out / README, readme(tables, made, versions))
    write_text(out / SUITE_FILE, suite_text(tables))
    write_text(out / MANIFEST, json.dumps(made, indent=1) + "\n")


def _digest(table: Table, version: str) -> str:
    """Of everything a CSV and its check follow from."""
    return hashlib.sha256(f"{_FORMAT}/{version}/{table.model_dump_json()}".encode()).hexdigest()[
        :16
    ]


def _manifest(out: Path) -> dict[str, Made]:
    """The manifest of an earlier build; empty where there is none, or none that can be read."""
    try:
        content = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {
        name: Made(**entry)
        for name, entry in entries
        if isinstance(entry, dict) and Made.__annotations__.keys() <= entry.keys()
    }


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
