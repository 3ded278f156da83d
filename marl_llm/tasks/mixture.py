"""Which tasks training plays: real tables of a suite and procedural ones, in the shares of the
recipe.

In: the recipe's section, a seed, numbers of episodes. Out: for each episode a name and how to load
its task. Whether an episode is of the suite follows from its number alone; which table, and which
split of it, from number and seed. Every table is drawn once before one is drawn again, and then it
is split anew.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from pydantic import Field

from marl_llm.core.errors import UserError
from marl_llm.core.section import Section
from marl_llm.tasks.procedural import procedural_task
from marl_llm.tasks.suite import TaskFile, load_suite
from marl_llm.tasks.task import Task

_SPLITS = 2**31


class TaskSection(Section):
    """Where training tasks come from: procedural ones by seed, a suite of CSV files, or both."""

    suite: str | None = Field(
        default=None,
        description="directory with suite.yaml (`marl-llm suite build` makes one); null: "
        "procedural tasks alone",
    )
    suite_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of episodes on the suite's tables; the others are procedural",
    )
    first_seed: int = Field(
        default=1000,
        ge=0,
        description="seed of the first procedural task; iteration k goes on from there",
    )
    per_iteration: int = Field(
        default=8, ge=1, description="episodes (one task each) in one iteration"
    )

    def of_suite(self, episodes: int) -> int:
        """How many of the first so many episodes of a run are of the suite."""
        return int(episodes * Fraction(str(self.suite_share))) if self.suite else 0

    def procedural(self, episodes: int) -> int:
        """How many of the first so many episodes of a run are procedural: as many seeds they take
        from `first_seed`.
        """
        return episodes - self.of_suite(episodes)


@dataclass(frozen=True)
class PlannedTask:
    """The task of one episode: a name, unique in the run, and how to load it."""

    name: str
    load: Callable[[], Task]


def suite_files(section: TaskSection) -> list[TaskFile]:
    """The tables of the section's suite; none where it names no suite.

    Raises
    ------
    UserError
        The suite is not there, or cannot be read.
    """
    if section.suite is None:
        return []
    try:
        return load_suite(Path(section.suite))
    except UserError as error:
        raise UserError(
            f"tasks.suite: {error} Build one with `marl-llm suite build --out "
            f"{section.suite}` (pip extra: suite)."
        ) from None


def planned_tasks(section: TaskSection, episodes: range, seed: int) -> list[PlannedTask]:
    """The tasks of the episodes with these numbers, counted from the start of the run.

    Raises
    ------
    UserError
        As of `suite_files`.
    """
    files = suite_files(section)
    return [_planned(section, files, number, seed) for number in episodes]


def check_suite(section: TaskSection, episodes: range, seed: int) -> None:
    """Read every table that these episodes will play once, so that one that cannot be read is known
    before anything is sampled.

    Raises
    ------
    UserError
        Some cannot be read; the sentence names them all, with the reason of each.
    """
    files = suite_files(section)
    drawn = {
        file.name: file
        for number in episodes
        if (file := _drawn(section, files, number, seed)) is not None
    }
    problems: list[str] = []
    for file in drawn.values():
        try:
            file.load()
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(
            f"tasks.suite: {len(problems)} of {len(drawn)} tables that are to be played cannot be: "
            f"{' '.join(problems)} Mend them, or leave them out of {section.suite}."
        )


def _drawn(
    section: TaskSection, files: Sequence[TaskFile], number: int, seed: int
) -> TaskFile | None:
    """The table of an episode, split as it is played; None for a procedural one."""
    drawn = section.of_suite(number)
    if section.of_suite(number + 1) == drawn:
        return None
    turn, place = divmod(drawn, len(files))
    file = files[_order(len(files), seed, turn)[place]]
    split = random.Random(f"split/{seed}/{turn}/{file.name}").randrange(_SPLITS)
    return replace(file, seed=split)


def _planned(
    section: TaskSection, files: Sequence[TaskFile], number: int, seed: int
) -> PlannedTask:
    file = _drawn(section, files, number, seed)
    if file is None:
        procedural = section.first_seed + section.procedural(number)
        return PlannedTask(f"p{procedural}", functools.partial(procedural_task, procedural))
    return PlannedTask(f"e{number}-{file.name}", file.load)


def _order(count: int, seed: int, turn: int) -> list[int]:
    """The order in which the tables are played, the `turn`th time round."""
    return random.Random(f"order/{seed}/{turn}").sample(range(count), count)
