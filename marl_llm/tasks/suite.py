"""Task files and suites: YAML beside the CSVs it names.

A *task file* is one mapping: `csv` and `target`, and as far as wanted `kind`, `positive` (a class),
`metrics` ({scorer name: weight}), `features`, `ignore` (lists of columns), `group` or `time` (a
column), `encoding`, `delimiter`, `decimal`, `missing` (a list of words), `skip` (how many lines
stand above the header, or a list of line numbers), `header` (true, false or a list of names),
`labels` (merged or exact), `columns` ({name: how it is read}), `seed`.

How a column is read is one line: `numeric`, `categorical`, `date`, `day-first date`, `month-first
date`, `excel date`, `text` or `ignore`, and behind it as far as wanted

    weight: numeric in kg                converts units to one
    area: numeric decimal comma          1.642 is 1642; `decimal point`: 1.642
    laps: numeric in s clock m:s         what 08:37 stands for; else `h:m`
    lead: numeric flags no               no column of its own for what stands beside numbers
    temperature: numeric missing -999.9  a word that means missing in this column
    continent: categorical keep NA       a usual word for missing that is a value here

A *suite* is a directory with a `suite.yaml`, a list of such mappings, or without one but
with a task file per CSV. In: a path. Out: `TaskFile` objects; nothing of a CSV is read until
`load()`. Keys are strict.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from marl_llm.core.errors import UserError
from marl_llm.tasks.task import Task

SUITE_FILE = "suite.yaml"
_REQUIRED = ("csv", "target")


@dataclass(frozen=True)
class TaskFile:
    """One entry of a suite; its fields are the keys, and but for `csv` and `columns` the parameters
    of `Task.from_csv`.

    Attributes
    ----------
    csv : Path
        Resolved against the directory of the YAML file.
    target, kind, positive, group, time, encoding, delimiter, decimal : str
        None where detected, or not wanted.
    metrics : dict of scorer name to weight, or None for the defaults
    features : tuple of str, or None for all that are worth having
    ignore : tuple of str
        Columns that are no features.
    missing : tuple of str
        Words that mean missing, besides the usual ones.
    skip : int or tuple of int
        Lines above the header; or all lines that are no part of the table. None where detected.
    header : bool or tuple of str
        Whether the first line names the columns, or their names. None where detected.
    labels : str
        "merged" or "exact": whether labels that differ in case or blanks only are one class.
    columns : dict of column name to the line that says how it is read
        Override what is detected; see `kinds` of `Task.from_csv`.
    seed : int
        Of the split.
    """

    csv: Path
    target: str
    kind: str | None = None
    positive: str | None = None
    metrics: dict[str, float] | None = field(default=None, hash=False)
    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] = ()
    skip: int | tuple[int, ...] | None = None
    header: bool | tuple[str, ...] | None = None
    labels: str | None = None
    columns: dict[str, str] = field(default_factory=dict, hash=False)
    seed: int = 0

    @property
    def name(self) -> str:
        """The CSV's file name without its ending."""
        return self.csv.stem

    def load(self) -> Task:
        """Read the CSV; errors as of `Task.from_csv`."""
        return Task.from_csv(
            self.csv,
            target=self.target,
            kind=self.kind,
            positive=self.positive,
            metrics=self.metrics,
            features=self.features,
            ignore=self.ignore,
            group=self.group,
            time=self.time,
            encoding=self.encoding,
            delimiter=self.delimiter,
            decimal=self.decimal,
            missing=self.missing,
            skip=self.skip,
            header=self.header,
            labels=self.labels,
            kinds=self.columns,
            seed=self.seed,
        )


_KEYS = tuple(key.name for key in fields(TaskFile))


def load_suite(directory: Path | str, seed: int = 0) -> list[TaskFile]:
    """Read the suite of a directory (its `suite.yaml`, or else every `*.yaml` task file in it), or
    one YAML file.

    `seed` is added to the seeds of the task files, which are 0 where they name none.

    Raises
    ------
    UserError
        If there is no such directory or no task in it, the YAML is broken, a key is unknown or
        missing, a value is of another form than its key needs, or a CSV does not exist.
    """
    directory = Path(directory)
    if not directory.exists():
        raise UserError(f"There is no directory {directory}: give a directory with a {SUITE_FILE}.")
    tasks = [task for path in _task_paths(directory) for task in _read(path, seed)]
    if not tasks:
        raise UserError(
            f"{directory} holds no tasks: add a {SUITE_FILE} (a list of {{{', '.join(_KEYS)}}})."
        )
    return tasks


def _task_paths(directory: Path) -> list[Path]:
    if directory.is_file():
        return [directory]
    suite = directory / SUITE_FILE
    return (
        [suite] if suite.exists() else sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")])
    )


def _read(path: Path, seed: int) -> list[TaskFile]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    entries = content if isinstance(content, list) else [content] if content else []
    return [
        _task_file(entry, path, position, seed) for position, entry in enumerate(entries, start=1)
    ]


def _task_file(entry: object, path: Path, position: int, seed: int) -> TaskFile:
    where = f"{path}, task {position}"
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not a mapping: write {{{', '.join(_KEYS)}}}.")
    _check_keys(entry, where)
    values = {
        key: _PARSERS.get(key, _text)(value, key, where)
        for key, value in entry.items()
        if value is not None
    }
    csv = path.parent / values["csv"]
    if not csv.is_file():
        raise UserError(f"{where}: there is no file {csv}.")
    return TaskFile(**(values | {"csv": csv, "seed": values.get("seed", 0) + seed}))


def _check_keys(entry: dict, where: str) -> None:
    for key in entry:
        if key not in _KEYS:
            nearest = difflib.get_close_matches(str(key), _KEYS, n=1)
            advice = (
                f"did you mean '{nearest[0]}'?" if nearest else f"the keys are {', '.join(_KEYS)}."
            )
            raise UserError(f"{where}: unknown key '{key}': {advice}")
    for key in _REQUIRED:
        if entry.get(key) is None:
            raise UserError(f"{where}: the key '{key}' is missing.")


def _text(value: object, key: str, where: str) -> str:
    """Text as it was meant: YAML takes `yes`, `no` and `null` for other things, and then what was
    written is lost.
    """
    if value is None or isinstance(value, (bool, list, dict)):
        raise UserError(
            f"{where}: '{key}' holds {value!r} where text is needed: write it in quotes, as "
            'in "yes".'
        )
    return str(value)


def _names(value: object, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UserError(
            f"{where}: '{key}' must be a list of {'words' if key == 'missing' else 'column names'}."
        )
    return tuple(_text(name, key, where) for name in value)


def _kinds(value: object, key: str, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: '{key}' must be a mapping of column name to kind.")
    return {_text(name, key, where): _text(kind, key, where) for name, kind in value.items()}


def _metrics(value: object, key: str, where: str) -> dict[str, float]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: '{key}' must be a mapping of scorer name to weight.")
    return value


def _skip(value: object, key: str, where: str) -> int | tuple[int, ...]:
    listed = value if isinstance(value, list) else [value]
    numbers = tuple(n for n in listed if isinstance(n, int) and not isinstance(n, bool))
    if len(numbers) != len(listed):
        raise UserError(
            f"{where}: '{key}' must be the number of lines above the header, or a list of line "
            "numbers."
        )
    return numbers if isinstance(value, list) else numbers[0]


def _header(value: object, key: str, where: str) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list):
        raise UserError(
            f"{where}: '{key}' must be true or false (whether a line names the columns), or a list "
            "of names."
        )
    return _names(value, key, where)


def _seed(value: object, key: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"{where}: '{key}' must be a whole number from 0.")
    return value


_PARSERS: dict[str, Callable[[object, str, str], Any]] = {
    "metrics": _metrics,
    "features": _names,
    "ignore": _names,
    "missing": _names,
    "skip": _skip,
    "header": _header,
    "columns": _kinds,
    "seed": _seed,
}
