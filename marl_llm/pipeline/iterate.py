"""Collect and train, again and again, with evaluations on unseen tasks between: the learning curve
of a run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from marl_llm.core.atomic import write_json
from marl_llm.core.roles import ROLES
from marl_llm.evaluation import evaluate_versions
from marl_llm.pipeline.promotion import Decision, promote_stage
from marl_llm.pipeline.stages import collect_stage, train_stage
from marl_llm.pipeline.warm_start import warm_start_stage
from marl_llm.rollout.figures import Figure, View, pick, shown
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.rollout.plans import procedural_plans
from marl_llm.workspace.open_run import OpenRun
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

logger = logging.getLogger(__name__)


def evaluation_plans(recipe: Recipe) -> list[PlannedEpisode]:
    """Procedural tasks that no training iteration of the recipe sees."""
    section = recipe.evaluation
    return procedural_plans(range(section.first_seed, section.first_seed + section.tasks))


def curve_point(run: RunDirectory, version: int) -> Path:
    """Where version `version`'s figures on the unseen tasks lie."""
    return run.evaluation / "procedural" / f"v{version:04d}"


def evaluate_stage(opened: OpenRun, version: int) -> dict[str, object]:
    """Play the unseen tasks with version `version` of both adapters, one plain episode each;
    returns the figures.
    """
    folder = curve_point(opened.run, version)
    result = folder / "metrics.json"
    if not result.is_file():
        versions = dict.fromkeys(ROLES, version)
        plans = evaluation_plans(opened.recipe)
        write_json(result, evaluate_versions(opened.playing, opened.run, versions, plans, folder))
        opened.run.sync()
    return json.loads(result.read_text())


def _due(recipe: Recipe, version: int) -> bool:
    every = recipe.evaluation.every
    return version in (0, recipe.iterations) or (every > 0 and version % every == 0)


def iterate(opened: OpenRun) -> None:
    """All rounds of the recipe that are not done yet, with the evaluations that are due."""
    recipe = opened.recipe
    warm_start_stage(recipe, opened.run, opened.machines)
    for k in range(recipe.iterations):
        if _due(recipe, k):
            evaluate_stage(opened, k)
        one_round(opened, k)
    evaluate_stage(opened, recipe.iterations)


def one_round(opened: OpenRun, k: int) -> None:
    """Iteration k: collect, credit, train, promote; nothing if it is done."""
    recipe, run = opened.recipe, opened.run
    if run.metrics(k).is_file():
        return
    collect_stage(opened, k)
    if not recipe.serving.while_training:
        opened.session.stop()
    train_stage(recipe, run, k)
    if recipe.promotion.tasks:
        promote_stage(opened, k)
    logger.info("%s", describe_iteration(run, k))


def describe_iteration(run: RunDirectory, k: int) -> str:
    """One line about a finished iteration."""
    metrics = json.loads(run.metrics(k).read_text())
    said = (
        f"{figure.label} {_text(metrics['collected'], figure)}" for figure in shown(View.progress)
    )
    return f"iteration {k}: {', '.join(said)}{describe_refusals(metrics.get('promotion'))}"


def describe_refusals(promotion: Decision | None) -> str:
    """What to add to an iteration's line about adapters that were not promoted; "" if there are
    none.
    """
    refused = [
        trainee
        for trainee, promoted in (promotion.get("promoted", {}) if promotion else {}).items()
        if not promoted
    ]
    if not refused:
        return ""
    return (
        f"; not promoted, worse on the validation tasks: {', '.join(refused)} (the version "
        "before stays)"
    )


def render_curve(run: RunDirectory) -> str:
    """The learning curve on the unseen tasks: one line per version, with 95% intervals of the
    gains.
    """
    columns = shown(View.curve)
    lines = [
        "Unseen procedural tasks, one episode each. Gains in skill over the baseline, [95% "
        "interval over tasks].",
        "version  " + "  ".join(f"{column.label:>{_width(column)}}" for column in columns),
    ]
    for path in sorted((run.evaluation / "procedural").glob("v*/metrics.json")):
        figures = json.loads(path.read_text())
        cells = (f"{_cell(figures, column):>{_width(column)}}" for column in columns)
        lines.append(f"{path.parent.name:<7}  " + "  ".join(cells))
    return "\n".join(lines + _refusals(run))


def _refusals(run: RunDirectory) -> list[str]:
    """A line for each iteration whose adapters were not all promoted."""
    done = (json.loads(run.metrics(k).read_text()) for k in range(run.next_iteration()))
    said = [(metrics["iteration"], describe_refusals(metrics.get("promotion"))) for metrics in done]
    return [f"iteration {k}{what}" for k, what in said if what]


def _width(figure: Figure) -> int:
    return 26 if _has_interval(figure) else max(11, len(figure.label))


def _has_interval(figure: Figure) -> bool:
    return figure.key.endswith("gain")


def _text(figures: Mapping[str, object], figure: Figure) -> str:
    """The value of a figure; `-` where there is none, or the file is older than the figure."""
    try:
        value = pick(figures, figure.key)
    except KeyError:
        value = None
    return "-" if value is None else figure.text(value)


def _cell(figures: Mapping[str, object], figure: Figure) -> str:
    text = _text(figures, figure)
    if (
        text == "-"
        or not _has_interval(figure)
        or not (ends := pick(figures, f"intervals.{figure.key}"))
    ):
        return text
    return f"{text} [{ends[0]:+.3f}, {ends[1]:+.3f}]"
