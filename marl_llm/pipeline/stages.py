"""The stages of one iteration over a run directory: collect, credit, train. Each resumes where it
stopped.

They meet only in files. Collecting never imports the trainer, and training runs in a process of its
own.
"""

from __future__ import annotations

import functools
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from marl_llm.algorithms.schedule import trained_roles
from marl_llm.algorithms.worker import LoggedRows, WorkerSpec
from marl_llm.core.atomic import write_json
from marl_llm.core.base_model import local_model
from marl_llm.core.roles import ROLES, TEAM
from marl_llm.pipeline.credit import credit_stage
from marl_llm.rewards import score_rows
from marl_llm.rollout.metrics import team_metrics
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.rollout.progress import minutes
from marl_llm.rollout.summary import read_summaries
from marl_llm.tasks.mixture import planned_tasks
from marl_llm.training.adapters import copy_version
from marl_llm.trajectories import read_rows, write_manifest
from marl_llm.workspace.imitation import imitated_runs
from marl_llm.workspace.open_run import OpenRun, play, policies, seen_experience, settings
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.trainers import Running, run_together, run_trainer

logger = logging.getLogger(__name__)


def training_plans(recipe: Recipe, k: int) -> list[PlannedEpisode]:
    """The episodes of iteration k: tables of the suite and procedural tasks in the recipe's
    shares.
    """
    count = recipe.tasks.per_iteration
    planned = planned_tasks(recipe.tasks, range(k * count, (k + 1) * count), recipe.seed)
    return [PlannedEpisode(task.name, task.load) for task in planned]


def collect_stage(opened: OpenRun, k: int) -> None:
    """Collect iteration k's trajectories; does nothing if they are all there. Episodes whose part
    was deleted, say because it was damaged, are collected again.
    """
    recipe, run = opened.recipe, opened.run
    if run.collected(k):
        logger.info("iteration %d is already collected", k)
        return
    roles = policies(recipe.name, run, dict.fromkeys(ROLES, k))
    store = recipe.environment.experience
    seen_experience(recipe.playing, run.iteration(k))
    run.sync()  # what the first machine saw is what all are told
    seen = seen_experience(recipe.playing, run.iteration(k))
    remember = Path(store) if store else None
    chosen = replace(settings(recipe.playing, k), seen=seen, remember=remember)
    plans = training_plans(recipe, k)
    here = opened.playing, roles, run.trajectories(k), plans, chosen, f"collect {k}"
    names, lost_after_s = [plan.name for plan in plans], recipe.rollout.machine_lost_after_s
    run.collect(k, names, functools.partial(play, *here), lost_after_s)
    write_manifest(run.trajectories(k))
    run.sync()


def train_stage(recipe: Recipe, run: RunDirectory, k: int) -> None:
    """Credit both roles on iteration k's rows and train the adapters whose turn it is.

    Without promotion the iteration is done then; with it the trained adapters wait in
    `iteration_<k>/candidates` for `promotion.promote_stage`. What was trained before an
    interruption is left alone.
    """
    credit_stage(recipe, run, k)
    due = trainees_of(recipe, run, k)
    for trainee in run.trainees:
        if trainee not in due:
            _freeze(run, k, trainee)
    missing = [trainee for trainee in due if not _trained(run, k, trainee)]
    jobs = [functools.partial(train_in_process, recipe, run, k, trainee) for trainee in missing]
    run_together(jobs, recipe.training.at_once)
    if not recipe.promotion.tasks:
        finish_iteration(recipe, run, k, None)


def finish_iteration(
    recipe: Recipe, run: RunDirectory, k: int, promotion: Mapping[str, object] | None
) -> None:
    """Write iteration k's metrics, which says that it is done; `promotion` is what decided on its
    adapters.
    """
    trained = {
        trainee: json.loads(training_metrics(run, k, trainee).read_text())
        for trainee in run.trainees
    }
    rows = score_rows(read_rows(run.trajectories(k)), recipe.rewards)
    metrics = {
        "iteration": k,
        "collected": team_metrics(rows, read_summaries(run.trajectories(k))),
        "credit": json.loads(_credit_statistics(run, k).read_text()),
        "schedule": list(trainees_of(recipe, run, k)),
        "training": trained,
        "promotion": promotion,
    }
    write_json(run.metrics(k), metrics)
    run.sync()


def trainees_of(recipe: Recipe, run: RunDirectory, k: int) -> tuple[str, ...]:
    """Whose adapters train in iteration k."""
    section = recipe.training
    return tuple(dict.fromkeys(map(run.trainee, trained_roles(section.schedule, section.alone, k))))


def training_metrics(run: RunDirectory, k: int, trainee: str) -> Path:
    """Metrics file of one adapter's training."""
    return run.iteration(k) / "training" / f"{trainee}.json"


def _credit_statistics(run: RunDirectory, k: int) -> Path:
    return run.iteration(k) / "credit" / "statistics.json"


def _freeze(run: RunDirectory, k: int, trainee: str) -> None:
    """The next version of an adapter whose turn it is not: an unchanged copy."""
    if not run.adapter(trainee, k + 1).is_dir():
        copy_version(run.adapter(trainee, k), run.adapter(trainee, k + 1))
    fingerprint = run.sha256(trainee, k)
    unchanged = {
        "adapter_sha256_before": fingerprint,
        "adapter_sha256": fingerprint,
        "seconds": 0.0,
    }
    write_json(
        training_metrics(run, k, trainee),
        {"trained": False, "frozen": True, "rows": 0, **unchanged},
    )


def train_in_process(
    recipe: Recipe,
    run: RunDirectory,
    k: int,
    trainee: str,
    running: Running | None = None,
) -> None:
    """Train one adapter in a process of its own, which is added to `running`, logging its steps."""
    path = run.iteration(k) / "training" / f"{trainee}-spec.json"
    _spec(recipe, run, k, trainee).write(path)
    seconds = run_trainer(path, f"train {k} {trainee}", running)
    logger.info("train %d %s: version %d after %s", k, trainee, k + 1, minutes(seconds))


def _trained(run: RunDirectory, k: int, trainee: str) -> bool:
    """True if the training is finished; an adapter whose trainer was killed before its metrics were
    written goes.
    """
    made = [
        path for path in (run.adapter(trainee, k + 1), run.candidate(trainee, k)) if path.is_dir()
    ]
    if made and not training_metrics(run, k, trainee).is_file():
        for path in made:  # nobody has played with it: the iteration is not done
            shutil.rmtree(path)
        return False
    return bool(made)


def _spec(recipe: Recipe, run: RunDirectory, k: int, trainee: str) -> WorkerSpec:
    """What the worker is told: rows and credit of this iteration and of the `max_age` before it."""
    algorithm = recipe.training.of(trainee)
    iterations = range(max(0, k - algorithm.max_age), k + 1)
    roles = ROLES if trainee == TEAM else (trainee,)
    out = run.candidate(trainee, k) if recipe.promotion.tasks else run.adapter(trainee, k + 1)
    own, others = _logged(run, iterations, roles), imitated_runs(recipe, roles[0])
    return WorkerSpec(
        role=trainee,
        rows=own.rows,
        credit=own.credit,
        imitated=[_logged(other, range(other.next_iteration()), roles) for other in others],
        base_dir=local_model(recipe.model.path).resolve(),
        adapter_dir=run.adapter(trainee, k).resolve(),
        out_dir=out.resolve(),
        workdir=(run.iteration(k) / "training" / f"{trainee}-work").resolve(),
        metrics=training_metrics(run, k, trainee).resolve(),
        seed=recipe.seed + k,
        config=algorithm,
    )


def _logged(run: RunDirectory, iterations: range, roles: Sequence[str]) -> LoggedRows:
    return LoggedRows(
        rows=[run.trajectories(i).resolve() for i in iterations],
        credit=[run.credit(i, role).resolve() for i in iterations for role in roles],
    )
