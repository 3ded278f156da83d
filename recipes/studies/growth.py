"""python recipes/studies/growth.py --episodes 10000 --json data/results/growth.json

What collecting costs as it grows: processor and wall time, memory and bytes a row, after 100, 1,000
and 10,000 episodes of one collection.

The scripted pair plays, its replies as tokens of the embedded model; a sandbox that knows every
answer stands in for the evaluations, so what is left is the collector's own cost: environment,
prompts, credit facts, rows, files. One process, started fresh; memory is its resident set. Made:
the table of growth in data/results/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.atomic import write_json
from marl_llm.core.predictions import Predictions
from marl_llm.environment import EnvironmentConfig
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors import LocalExecutor
from marl_llm.rollout.planned import CollectSettings, PlannedEpisode
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.summary import EpisodeSummary
from marl_llm.rollout.teacher import Teacher
from marl_llm.sandbox import Evaluation, Fold, Limits, Probe, Sandbox, Stage, Status
from marl_llm.serving.in_process.chat import ChatTokenizer
from marl_llm.tasks import Task
from marl_llm.tasks.procedural import procedural_task
from marl_llm.trajectories import read_rows

TINY = Path("data/models/tiny")
_TASKS = 8
_FIRST_SEED = 6_000_000
_COLUMNS = ("episodes", "wall s", "CPU s", "CPU ms each", "MiB", "bytes a row", "rows each")
_LAYOUT = "{:>9} {:>9} {:>9} {:>12} {:>9} {:>13} {:>11}"


@dataclass(frozen=True)
class Point:
    """What so many episodes have taken; seconds, MiB of resident memory, and bytes on disk."""

    episodes: int
    wall_s: float
    cpu_s: float
    resident_mib: float
    rows: int
    part_bytes: int
    summary_bytes: int


class KnownAnswers(Sandbox):
    """A sandbox in which every candidate predicts the same, at once, without being run."""

    def evaluate(
        self,
        code: str,
        folds: Sequence[Fold],
        *,
        prelude: str = "",
        seed: int = 0,
        limits: Limits | None = None,
        probe: str = Probe.last,
        describe: bool = True,
    ) -> Evaluation:
        """Predictions of the right shape."""
        found = tuple(_constant(fold) for fold in folds)
        told: dict[str, object] | None = {"class": "", "repr": "", "params": {}}
        return Evaluation(
            Status.ok, Stage.predicted, found, "", told if describe else None, 0.0, 0.0, self.level
        )


class Watched(Progress):
    """Tells of a point after so many episodes."""

    def __init__(
        self, directory: Path, at: Sequence[int], on_point: Callable[[Point], None]
    ) -> None:
        super().__init__("growth")
        self._directory, self._at, self._on_point, self._done = directory, set(at), on_point, 0
        self._clock, self._cpu = time.monotonic(), time.process_time()

    async def episode(self, summary: EpisodeSummary) -> None:
        """Count, and look where it is time."""
        await super().episode(summary)
        self._done += 1
        if self._done in self._at:
            self._on_point(self._point())

    def _point(self) -> Point:
        wall, cpu = time.monotonic() - self._clock, time.process_time() - self._cpu
        parts = list(self._directory.glob("part-*.parquet"))
        return Point(
            self._done,
            round(wall, 1),
            round(cpu, 1),
            round(resident_mib(), 1),
            len(read_rows(self._directory, ["episode"])),
            sum(part.stat().st_size for part in parts),
            (self._directory / "episodes.jsonl").stat().st_size,
        )


def resident_mib() -> float:
    """Memory of this process now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _constant(fold: Fold) -> Predictions:
    rows = len(fold.valid_order)
    if fold.n_classes is None:
        return Predictions(np.zeros(rows), None)
    shares = np.full((rows, fold.n_classes), 1 / fold.n_classes)
    return Predictions(np.zeros(rows, dtype=np.int64), shares)


@functools.cache
def _task(seed: int) -> Task:
    return procedural_task(seed)


def measure(
    episodes: int, directory: Path, at: Sequence[int], on_point: Callable[[Point], None]
) -> None:
    """Collect so many episodes into a directory; tells of a point after each number in `at`."""
    tokenizer = ChatTokenizer(TINY)
    pair = Team(*(Teacher(ScriptedPolicy(may_finish=False), tokenizer) for _ in range(2)))
    settings = CollectSettings(
        "growth",
        0,
        0,
        EnvironmentConfig(steps=1, resamples=100),
        PromptStyle(PromptConfig()),
        RolloutConfig(proposals=2, implementations=1, episodes_at_once=8),
    )
    plans = [
        PlannedEpisode(f"e{i:06d}", functools.partial(_task, _FIRST_SEED + i % _TASKS))
        for i in range(episodes)
    ]
    watched = Watched(directory, at, on_point)
    with KnownAnswers(slots=1) as sandbox:
        collector = Collector(directory, LocalExecutor(pair, sandbox), settings)
        asyncio.run(collector.collect(plans, watched))


def line(one: Point) -> str:
    """A point as a line of the table."""
    return _LAYOUT.format(
        one.episodes,
        f"{one.wall_s:.0f}",
        f"{one.cpu_s:.0f}",
        f"{1000 * one.cpu_s / one.episodes:.1f}",
        f"{one.resident_mib:.0f}",
        f"{(one.part_bytes + one.summary_bytes) / one.rows:.0f}",
        f"{one.rows / one.episodes:.1f}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print, point by point; with `--json` keep the points."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[2])
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    at = sorted({10**k for k in range(1, 8) if 10**k < options.episodes} | {options.episodes})
    points: list[Point] = []

    def on_point(point: Point) -> None:
        points.append(point)
        print(line(point), flush=True)
        if options.json:
            write_json(options.json, {"points": [asdict(one) for one in points]})

    print(_LAYOUT.format(*_COLUMNS), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        measure(options.episodes, Path(folder), at, on_point)


if __name__ == "__main__":
    main()
