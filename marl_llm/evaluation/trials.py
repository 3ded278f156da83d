"""Trials: one task in one repetition, with a name under which its results are kept.

In: a suite of CSV files, or seeds of procedural tasks. Out: trials that load, and the tasks that do
not with the reason. A repetition splits a CSV anew and draws other seeds; a procedural task keeps
its split and draws other seeds.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from marl_llm.core.errors import UserError
from marl_llm.rollout.turns import derive_seed
from marl_llm.tasks import Task
from marl_llm.tasks.procedural import procedural_task
from marl_llm.tasks.suite import TaskFile, load_suite


class Problem(BaseModel):
    """A task that took no part, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str
    error: str


@dataclass(frozen=True)
class Trial:
    """One repetition of one task.

    Attributes
    ----------
    name : str
        Fit for a file name, unique in the comparison. For a CSV it holds a hash of the data, so
        that results of a file that was changed since are not taken for its results now.
    task : str
        What the table calls it; trials of one task share it.
    repeat : int
    load : callable
        Gives the task.
    """

    name: str
    task: str
    repeat: int
    load: Callable[[], Task]

    def seed(self, base: int) -> int:
        """The seed of the trial's episode, as `Collector` derives it in iteration 0."""
        return derive_seed(base, 0, self.name)


def suite_trials(suite: Path, repeats: int, seed: int) -> tuple[list[Trial], list[Problem]]:
    """Trials of a suite, task by task, and the CSVs that cannot be used.

    Raises
    ------
    UserError
        The suite itself cannot be read.
    """
    splits = [load_suite(suite, seed + repeat) for repeat in range(repeats)]
    trials: list[Trial] = []
    problems: list[Problem] = []
    for label, files in zip(_labels(splits[0]), zip(*splits, strict=True), strict=True):
        try:
            trials += [_csv_trial(label, repeat, file) for repeat, file in enumerate(files)]
        except UserError as error:
            problems.append(Problem(task=label, error=str(error)))
    return trials, problems


def procedural_trials(first_seed: int, count: int, repeats: int) -> list[Trial]:
    """Trials of the procedural tasks with seeds from `first_seed` on."""
    seeds = range(first_seed, first_seed + count)
    return [
        Trial(
            f"p{seed}-r{repeat}",
            f"procedural-{seed}",
            repeat,
            functools.partial(procedural_task, seed),
        )
        for seed in seeds
        for repeat in range(repeats)
    ]


def slug(text: str) -> str:
    """Text as part of a file name: ASCII letters, digits, ".", "_" and "-", beginning with a letter
    or digit.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "_", ascii_text).lstrip("._-") or "task"


def _csv_trial(label: str, repeat: int, file: TaskFile) -> Trial:
    key = (
        file.load().key
    )  # loaded here to find out whether it can be, and let go: a suite may not fit into memory
    return Trial(f"{slug(label)}-{key[:8]}-r{repeat}", label, repeat, file.load)


def _labels(files: Sequence[TaskFile]) -> list[str]:
    """A distinct name for each task: the CSV's, with the target or a number where that is not
    enough.
    """
    labels: list[str] = []
    for number, file in enumerate(files, start=1):
        choices = (file.name, f"{file.name} ({file.target})", f"{file.name} ({number})")
        labels.append(next((label for label in choices if label not in labels), f"task {number}"))
    return labels
