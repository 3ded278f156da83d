"""What the report of an experiment is made of: results of every team, and the best single steps.

In: an experiment's directory. Out: for each part of the unseen tasks the results by arm and
version, joined with the headroom search where `headroom-<part>.json` lies in the directory; and
what became of each run's adapters. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headroom_file import DECIDES, Headroom, HeadroomFile, load_headroom

from experiment_figures.runs import Run, read_runs
from marl_llm.core.errors import UserError
from marl_llm.evaluation.fixed import BASELINE
from marl_llm.evaluation.report import EvaluationReport, Result, load_report
from marl_llm.pipeline.experiment.config import UNTRAINED, Experiment
from marl_llm.pipeline.experiment.layout import PARTS, ExperimentDirectory, Point


@dataclass(frozen=True)
class Played:
    """One trial as a team played it; `seed` is that of the team's training, None for the untrained
    team.
    """

    seed: int | None
    result: Result


@dataclass(frozen=True)
class Part:
    """One part of the unseen tasks.

    Attributes
    ----------
    name : str
        "procedural" or "benchmark".
    played : dict of (arm, version) to list of Played
        All seeds together; the untrained team is ("untrained", 0).
    baseline : dict of trial to Result
    headroom : dict of trial to Headroom
        Empty where no search was made.
    left_out : dict of task to str
        Tasks that took no part, and why.
    """

    name: str
    played: dict[tuple[str, int], list[Played]]
    baseline: dict[str, Result]
    headroom: dict[str, Headroom]
    left_out: dict[str, str]

    @property
    def untrained(self) -> dict[str, Result]:
        """Results of the untrained team by trial; those without a score left out."""
        played = self.played.get((UNTRAINED, 0), [])
        return {one.result.trial: one.result for one in played if one.result.test is not None}

    def versions(self, arm: str) -> list[int]:
        """Versions of an arm that were evaluated, ascending."""
        return sorted(version for name, version in self.played if name == arm)

    def final(self, arm: str) -> list[Played]:
        """What the arm's last version played; empty for an arm without one."""
        versions = self.versions(arm)
        return self.played[arm, versions[-1]] if versions else []


@dataclass(frozen=True)
class Material:
    """Everything the report says something about."""

    experiment: Experiment
    parts: list[Part]
    runs: list[Run]

    def complete(self, part: Part, arm: str) -> bool:
        """Whether every seed of an arm was evaluated at the arm's last version."""
        last = self.experiment.versions(arm)[-1]
        return {one.seed for one in part.played.get((arm, last), [])} == set(
            self.experiment.arms[arm].seeds
        )

    @property
    def arms(self) -> list[str]:
        """Arms with at least one result, the untrained team first, then in the experiment's
        order.
        """
        there = {arm for part in self.parts for arm, _ in part.played}
        return [arm for arm in (UNTRAINED, *self.experiment.arms) if arm in there]


def read_material(directory: ExperimentDirectory) -> Material:
    """Read an experiment as far as it has come.

    Raises
    ------
    UserError
        Nothing was evaluated yet, or a headroom search was made with another seed or test of gains.
    """
    experiment, points = directory.experiment(), directory.points()
    if not points:
        raise UserError(
            f"{directory.root}: nothing was evaluated yet; run `marl-llm experiment` first."
        )
    parts = [_part(directory, name, [p for p in points if p.part == name]) for name in PARTS]
    return Material(
        experiment, [part for part in parts if part.played], read_runs(directory, experiment)
    )


def _part(directory: ExperimentDirectory, name: str, points: Sequence[Point]) -> Part:
    played: dict[tuple[str, int], list[Played]] = {}
    baseline: dict[str, Result] = {}
    left_out: dict[str, str] = {}
    reports = {point: load_report(directory.report(point)) for point in points}
    for point, report in reports.items():
        left_out |= {problem.task: problem.error for problem in report.problems}
        for result in report.results:
            if result.arm == BASELINE:
                baseline.setdefault(result.trial, result)
            else:
                played.setdefault((point.arm, point.version), []).append(Played(point.seed, result))
    return Part(
        name, played, baseline, _headroom(directory, name, list(reports.values())), left_out
    )


def _headroom(
    directory: ExperimentDirectory, part: str, reports: Sequence[EvaluationReport]
) -> dict[str, Headroom]:
    path = directory.root / f"headroom-{part}.json"
    if not path.is_file():
        return {}
    found = load_headroom(path)
    for report in reports:
        if _decided_by(found) != _settings(report.seed, report.settings["environment"]):
            raise UserError(
                f"{path} was made with another seed or test of gains than {report.name} was "
                "evaluated with: search again with the experiment's recipe and evaluation.seed."
            )
    return {one.trial: one for one in found.trials}


def _decided_by(found: HeadroomFile) -> dict[str, Any]:
    return _settings(found.settings["seed"], found.settings["environment"])


def _settings(seed: int, environment: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": seed, **{key: environment[key] for key in DECIDES}}
