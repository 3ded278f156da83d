"""What an experiment consists of, and what of it is left: jobs of units, a unit being one iteration
of one run or one evaluation. Pure but for looking whether files exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from marl_llm.pipeline.experiment.config import UNTRAINED, Experiment
from marl_llm.pipeline.experiment.layout import ExperimentDirectory, Point, untrained_point

ITERATION = "iteration"


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes
    ----------
    kind : str
        "iteration", or the part of an evaluation: units of one kind take about as long.
    number : int
        The iteration, from 0; the version evaluated.
    """

    kind: str
    number: int


class FinishedUnit(TypedDict):
    """A line of `units.jsonl`: a unit of a job, and how long it took."""

    job: str
    kind: str
    number: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """What one process does, one unit after the other.

    Attributes
    ----------
    arm : str
    seed : int or None
        None for the untrained team.
    needs : str or None
        Name of the job that must be finished before.
    units : tuple of Unit
        All, in order; those that are done included.
    """

    arm: str
    seed: int | None
    needs: str | None
    units: tuple[Unit, ...]

    @property
    def name(self) -> str:
        """Also the name of its log."""
        return UNTRAINED if self.seed is None else f"{self.arm}.s{self.seed}"

    def point(self, unit: Unit) -> Point:
        """The point that an evaluation unit makes."""
        return (
            untrained_point(unit.kind)
            if self.seed is None
            else Point(unit.kind, self.arm, self.seed, unit.number)
        )


def read_units(directory: ExperimentDirectory) -> list[FinishedUnit]:
    """All finished pieces of work; half a line, which a killed process leaves, is skipped."""
    path = directory.root / "units.jsonl"
    found: list[FinishedUnit] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def plan(
    experiment: Experiment, parts: Sequence[str], arms: Iterable[str] | None = None
) -> list[Job]:
    """All jobs: the untrained team, then the arms (all, or those named) in the experiment's order,
    seed by seed.
    """
    chosen = set(experiment.arms if arms is None else arms)
    jobs = [Job(UNTRAINED, None, None, tuple(Unit(part, 0) for part in parts))]
    for name, arm in experiment.arms.items():
        if name not in chosen:
            continue
        for seed in arm.seeds:
            needs = f"{arm.of}.s{seed}" if arm.of else None
            jobs.append(Job(name, seed, needs, _units(experiment, name, seed, parts)))
    return jobs


def _units(experiment: Experiment, arm: str, seed: int, parts: Sequence[str]) -> tuple[Unit, ...]:
    versions = experiment.versions(arm)
    if experiment.arms[arm].of:
        return tuple(Unit(part, version) for version in versions for part in parts)
    units: list[Unit] = []
    for k in range(experiment.recipe(arm, seed).iterations):
        units.append(Unit(ITERATION, k))
        units += [Unit(part, k + 1) for part in parts if k + 1 in versions]
    return tuple(units)


def is_done(directory: ExperimentDirectory, job: Job, unit: Unit) -> bool:
    """Whether a unit's file is there."""
    if unit.kind == ITERATION:
        assert job.seed is not None
        return directory.run(job.arm, job.seed).metrics(unit.number).is_file()
    return directory.report(job.point(unit)).is_file()


def left(directory: ExperimentDirectory, job: Job) -> list[Unit]:
    """A job's units that are not done."""
    return [unit for unit in job.units if not is_done(directory, job, unit)]


def startable(pending: Sequence[Job], unfinished: Iterable[str]) -> Job | None:
    """The first pending job that waits for none of the unfinished ones."""
    waiting = set(unfinished)
    return next((job for job in pending if job.needs not in waiting), None)


def time_left(units: Iterable[Unit], seconds: dict[str, list[float]], at_once: int) -> float | None:
    """Estimated seconds for what is left: the mean duration of each unit's kind, shared by the runs
    at once.

    Parameters
    ----------
    units : iterable of Unit
    seconds : dict of kind to list of float
        Durations of finished units.
    at_once : int

    Returns
    -------
    float or None
        None as long as no unit is finished; a kind of which none is finished counts as the mean of
        all.
    """
    every = [value for values in seconds.values() for value in values]
    if not every:
        return None
    mean = {kind: sum(values) / len(values) for kind, values in seconds.items() if values}
    overall = sum(every) / len(every)
    return sum(mean.get(unit.kind, overall) for unit in units) / at_once
