"""Where an experiment's files lie. Progress is read off the files, never kept apart.

    experiment.yaml                       the resolved experiment
    recipes/<arm>.s<seed>.yaml            recipe of each run
    runs/<arm>/seed<seed>/                one run directory each (`marl_llm.workspace.run`)
    evaluation/<part>/<point>/            evaluation.json says that the point is finished
                                          (part: procedural, benchmark)
    evaluation/benchmark/suite.json       name of the benchmark and of its CSVs
    logs/<job>.log                        what a job said
    units.jsonl                           how long each piece of work took, seconds

A point is "untrained", or "<arm>.s<seed>.v<version>".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.evaluation.report import REPORT_FILE
from marl_llm.pipeline.experiment.config import UNTRAINED, Experiment, load_experiment
from marl_llm.workspace.run import RunDirectory

PROCEDURAL, BENCHMARK = "procedural", "benchmark"
PARTS = (PROCEDURAL, BENCHMARK)
_POINT = re.compile(r"(?P<arm>[a-z][a-z0-9_]*)\.s(?P<seed>\d+)\.v(?P<version>\d+)")


@dataclass(frozen=True, order=True)
class Point:
    """One evaluation: which part of the unseen tasks, which team. `seed` is None for the untrained
    team.
    """

    part: str
    arm: str
    seed: int | None
    version: int

    @property
    def name(self) -> str:
        """Name of its directory."""
        return UNTRAINED if self.is_untrained else f"{self.arm}.s{self.seed}.v{self.version}"

    @property
    def is_untrained(self) -> bool:
        """True for the team that all arms start from."""
        return self.arm == UNTRAINED


def untrained_point(part: str) -> Point:
    """The point that all arms share."""
    return Point(part, UNTRAINED, None, 0)


@dataclass(frozen=True)
class ExperimentDirectory:
    """Paths and progress of one experiment."""

    root: Path

    def experiment(self) -> Experiment:
        """What is compared. Raises UserError if this is no experiment's directory."""
        if not (self.root / "experiment.yaml").is_file():
            raise UserError(
                f"{self.root}: not an experiment (experiment.yaml is missing); name its directory."
            )
        return load_experiment(self.root / "experiment.yaml")

    def run(self, arm: str, seed: int) -> RunDirectory:
        """Run directory of a trained arm."""
        return RunDirectory(self.root / "runs" / arm / f"seed{seed}")

    def recipe(self, arm: str, seed: int) -> Path:
        """Recipe of a trained arm."""
        return self.root / "recipes" / f"{arm}.s{seed}.yaml"

    def folder(self, point: Point) -> Path:
        """Directory of a point."""
        return self.root / "evaluation" / point.part / point.name

    def report(self, point: Point) -> Path:
        """A point's evaluation.json; its presence says that the point is finished."""
        return self.folder(point) / REPORT_FILE

    def log(self, job: str) -> Path:
        """What a job wrote to standard error."""
        return self.root / "logs" / f"{job}.log"

    def points(self) -> list[Point]:
        """All finished points, by part, arm, seed and version."""
        found: list[Point] = []
        for path in self.root.glob(f"evaluation/*/*/{REPORT_FILE}"):
            part, name = path.parent.parent.name, path.parent.name
            match = _POINT.fullmatch(name)
            if name == UNTRAINED:
                found.append(untrained_point(part))
            elif match:
                found.append(Point(part, match["arm"], int(match["seed"]), int(match["version"])))
        return sorted(
            found, key=lambda p: (p.part, p.arm, -1 if p.seed is None else p.seed, p.version)
        )
