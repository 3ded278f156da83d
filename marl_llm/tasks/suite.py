"""Task files and suites: YAML beside the CSVs it names.

A *task file* is one mapping `{csv, target, kind, metrics: {scorer name: weight}, ignore: [columns]}`; a *suite* is a
directory with a `suite.yaml`, a list of such mappings, or without one but with a task file per CSV. In: a path. Out:
`TaskFile` objects; nothing of a CSV is read until `load()`. Keys are strict.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from marl_llm.errors import UserError
from marl_llm.tasks.task import Task

SUITE_FILE = "suite.yaml"
_KEYS = ("csv", "target", "kind", "metrics", "ignore")
_REQUIRED = ("csv", "target")


@dataclass(frozen=True)
class TaskFile:
    """One entry of a suite.

    Attributes
    ----------
    csv : Path
        Resolved against the directory of the YAML file.
    target : str
    kind : str or None
    metrics : dict of scorer name to weight, or None for the defaults
    ignore : tuple of str
        Columns that are no features.
    seed : int
        Of the split.
    """

    csv: Path
    target: str
    kind: str | None = None
    metrics: dict[str, float] | None = field(default=None, hash=False)
    ignore: tuple[str, ...] = ()
    seed: int = 0

    @property
    def name(self) -> str:
        """The CSV's file name without its ending."""
        return self.csv.stem

    def load(self) -> Task:
        """Read the CSV; errors as of `Task.from_csv`."""
        return Task.from_csv(
            self.csv, target=self.target, kind=self.kind, metrics=self.metrics, ignore=self.ignore, seed=self.seed
        )


def load_suite(directory: Path | str, seed: int = 0) -> list[TaskFile]:
    """Read the suite of a directory (its `suite.yaml`, or else every `*.yaml` task file in it), or one YAML file.

    Raises
    ------
    UserError
        If there is no such directory or no task in it, the YAML is broken, a key is unknown or missing, or a CSV does
        not exist.
    """
    directory = Path(directory)
    if not directory.exists():
        raise UserError(f"There is no directory {directory}: give a directory with a {SUITE_FILE}.")
    tasks = [task for path in _task_paths(directory) for task in _read(path, seed)]
    if not tasks:
        raise UserError(f"{directory} holds no tasks: add a {SUITE_FILE} (a list of {{{', '.join(_KEYS)}}}).")
    return tasks


def _task_paths(directory: Path) -> list[Path]:
    if directory.is_file():
        return [directory]
    suite = directory / SUITE_FILE
    return [suite] if suite.exists() else sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")])


def _read(path: Path, seed: int) -> list[TaskFile]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    entries = content if isinstance(content, list) else [content] if content else []
    return [_task_file(entry, path, position, seed) for position, entry in enumerate(entries, start=1)]


def _task_file(entry: object, path: Path, position: int, seed: int) -> TaskFile:
    where = f"{path}, task {position}"
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not a mapping: write {{{', '.join(_KEYS)}}}.")
    _check_keys(entry, where)
    csv = path.parent / str(entry["csv"])
    if not csv.is_file():
        raise UserError(f"{where}: there is no file {csv}.")
    return TaskFile(
        csv=csv,
        target=str(entry["target"]),
        kind=entry.get("kind"),
        metrics=_metrics(entry, where),
        ignore=_ignore(entry, where),
        seed=seed,
    )


def _check_keys(entry: dict, where: str) -> None:
    for key in entry:
        if key not in _KEYS:
            nearest = difflib.get_close_matches(str(key), _KEYS, n=1)
            advice = f"did you mean '{nearest[0]}'?" if nearest else f"the keys are {', '.join(_KEYS)}."
            raise UserError(f"{where}: unknown key '{key}': {advice}")
    for key in _REQUIRED:
        if key not in entry:
            raise UserError(f"{where}: the key '{key}' is missing.")


def _metrics(entry: dict, where: str) -> dict[str, float] | None:
    metrics = entry.get("metrics")
    if metrics is not None and not isinstance(metrics, dict):
        raise UserError(f"{where}: 'metrics' must be a mapping of scorer name to weight.")
    return metrics


def _ignore(entry: dict, where: str) -> tuple[str, ...]:
    ignore = entry.get("ignore") or []
    if not isinstance(ignore, list):
        raise UserError(f"{where}: 'ignore' must be a list of column names.")
    return tuple(str(name) for name in ignore)
