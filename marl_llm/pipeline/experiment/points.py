"""One evaluation of an experiment: a team, a part of the unseen tasks, one `evaluation.json`.

All points have the same tasks, splits, folds and seeds. The baseline's results are those of the
first point that is finished, copied: they depend on no team.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.evaluation import Question, evaluate_procedural, evaluate_suite
from marl_llm.evaluation.arms import BASELINE, SWAPPED
from marl_llm.pipeline.experiment.config import Experiment
from marl_llm.pipeline.experiment.layout import BENCHMARK, ExperimentDirectory, Point
from marl_llm.tasks import load_suite
from marl_llm.workspace.open_run import OpenRun

logger = logging.getLogger(__name__)


def evaluate_point(
    opened: OpenRun,
    experiment: Experiment,
    directory: ExperimentDirectory,
    point: Point,
    benchmark: Path | None,
) -> None:
    """Play and score a point, unless its report is there.

    Parameters
    ----------
    opened : OpenRun
        The run whose adapters play, with server and sandbox.
    experiment : Experiment
    directory : ExperimentDirectory
    point : Point
    benchmark : Path or None
        Directory of CSVs; needed for the part "benchmark".
    """
    if directory.report(point).is_file():
        return
    folder = directory.folder(point)
    _share_baseline(folder)
    section, arms = experiment.evaluation, (team_of(experiment, point),)
    ready = opened.playing
    if point.part == BENCHMARK:
        assert benchmark is not None
        evaluate_suite(
            opened.run,
            ready.sections,
            Question(arms, section.benchmark_repeats, section.seed),
            suite=benchmark,
            opened=ready,
            out=folder,
            on_line=logger.info,
        )
        return
    evaluate_procedural(
        opened.run,
        ready.sections,
        Question(arms, section.repeats, section.seed),
        count=section.tasks,
        first_seed=section.first_seed,
        opened=ready,
        out=folder,
        on_line=logger.info,
    )


def team_of(experiment: Experiment, point: Point) -> str:
    """The team of a point, as an arm of an evaluation."""
    if point.is_untrained:
        return "untrained"
    return f"{SWAPPED if experiment.arms[point.arm].of else 'trained'}@{point.version}"


def _share_baseline(folder: Path) -> None:
    """Take over the baseline's results of a finished neighbour; their directory's name says what
    they depend on.
    """
    for finished in sorted(folder.parent.glob("*/evaluation.json")):
        for source in finished.parent.glob(f"{BASELINE}-*"):
            shutil.copytree(source, folder / source.name, dirs_exist_ok=True)
        return


def check_benchmark(directory: ExperimentDirectory, benchmark: Path) -> None:
    """Note which benchmark the experiment is measured on, and that each of its CSVs can be learned
    from.

    Raises
    ------
    UserError
        The directory is no suite, or not the one that the experiment was begun with; a CSV makes no
        task.
    """
    entries = load_suite(benchmark)
    here = {
        "name": benchmark.resolve().name,
        "tasks": [f"{entry.name}:{entry.target}" for entry in entries],
    }
    record = directory.root / "evaluation" / BENCHMARK / "suite.json"
    if record.is_file() and json.loads(record.read_text(encoding="utf-8")) != here:
        raise UserError(
            f"{benchmark} is not the benchmark that {directory.root} was begun with ({record})."
        )
    for entry in entries:
        try:
            entry.load()
        except UserError as error:
            raise UserError(f"{entry.csv}: {error}") from None
    write_json(record, here)
