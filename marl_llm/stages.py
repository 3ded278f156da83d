"""The stages of one iteration over a run directory: collect, credit, train. Each resumes where it stopped.

They meet only in files. Collecting never imports the trainer, and training runs in a process of its own.
"""

from __future__ import annotations

import functools
import json
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from marl_llm.base_model import local_model
from marl_llm.credit import assign_credit, write_credit
from marl_llm.errors import RunFailed
from marl_llm.open_run import OpenRun, play, policies, settings
from marl_llm.recipe import Recipe
from marl_llm.roles import ROLES
from marl_llm.rollout.collect import PlannedEpisode
from marl_llm.rollout.metrics import team_metrics
from marl_llm.rollout.progress import minutes
from marl_llm.rollout.summary import read_summaries
from marl_llm.run import RunDirectory, write_json
from marl_llm.tasks.procedural import procedural_task
from marl_llm.tasks.suite import load_suite
from marl_llm.trajectories import read_rows, write_manifest

logger = logging.getLogger(__name__)


def training_plans(recipe: Recipe, k: int) -> list[PlannedEpisode]:
    """The episodes of iteration k: procedural tasks by seed, or the suite's CSV files in turn."""
    count, first = recipe.tasks.per_iteration, recipe.tasks.first_seed + k * recipe.tasks.per_iteration
    if recipe.tasks.suite is None:
        return [PlannedEpisode(f"p{s}", functools.partial(procedural_task, s)) for s in range(first, first + count)]
    files = load_suite(Path(recipe.tasks.suite))
    chosen = [(i, files[i % len(files)]) for i in range(k * count, (k + 1) * count)]
    return [PlannedEpisode(f"e{i}-{Path(f.csv).stem}", f.load) for i, f in chosen]


def collect_stage(opened: OpenRun, k: int) -> None:
    """Collect iteration k's trajectories; does nothing if they are all there."""
    recipe, run = opened.recipe, opened.run
    if run.collected(k):
        logger.info("iteration %d is already collected", k)
        return
    roles = policies(recipe, run, dict.fromkeys(ROLES, k))
    play(opened, roles, run.trajectories(k), training_plans(recipe, k), settings(recipe, k), f"collect {k}")
    write_manifest(run.trajectories(k))


def train_stage(recipe: Recipe, run: RunDirectory, k: int) -> None:
    """Credit and train both roles on iteration k's rows; a role whose next version exists is left alone."""
    rows = read_rows(run.trajectories(k))
    statistics: dict[str, Any] = {}
    for role in ROLES:
        table, statistics[role] = assign_credit(rows, role, recipe.credit)
        write_credit(table, run.credit(k, role))
    missing = [role for role in ROLES if not run.adapter(role, k + 1).is_dir()]
    with ThreadPoolExecutor(max_workers=recipe.training.at_once) as pool:
        list(pool.map(functools.partial(train_in_process, recipe, run, k), missing))
    trained = {role: json.loads(training_metrics(run, k, role).read_text()) for role in ROLES}
    collected = team_metrics(rows, read_summaries(run.trajectories(k)))
    write_json(run.metrics(k), {"iteration": k, "collected": collected, "credit": statistics, "training": trained})


def training_metrics(run: RunDirectory, k: int, role: str) -> Path:
    """Metrics file of one role's training."""
    return run.iteration(k) / "training" / f"{role}.json"


def train_in_process(recipe: Recipe, run: RunDirectory, k: int, role: str) -> None:
    """Train one role in a process of its own, logging its steps."""
    folder = run.iteration(k) / "training"
    spec = {
        "role": role,
        "rows": [str(run.trajectories(k).resolve())],
        "credit": str(run.credit(k, role).resolve()),
        "base_dir": str(local_model(recipe.model.path).resolve()),
        "adapter_dir": str(run.adapter(role, k).resolve()),
        "out_dir": str(run.adapter(role, k + 1).resolve()),
        "workdir": str((folder / f"{role}-work").resolve()),
        "metrics": str(training_metrics(run, k, role).resolve()),
        "seed": recipe.seed + k,
        "config": getattr(recipe.training, role).model_dump(mode="json"),
    }
    path = folder / f"{role}-spec.json"
    write_json(path, spec)
    began = time.monotonic()
    _run_worker(path, folder / f"{role}.log", f"train {k} {role}")
    logger.info("train %d %s: version %d after %s", k, role, k + 1, minutes(time.monotonic() - began))


def _run_worker(spec: Path, log: Path, what: str) -> None:
    command = [sys.executable, "-m", "marl_llm.training.worker", str(spec)]
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as worker,
    ):
        assert worker.stdout is not None
        try:
            message = _follow(worker.stdout, what)
        except BaseException:
            worker.terminate()
            raise
    if worker.returncode != 0:
        raise RunFailed(f"{what}: {message or f'the trainer ended with code {worker.returncode}'} (log: {log})")


def _follow(lines: Any, what: str) -> str:
    """Log a worker's steps; returns its error message, if it says one."""
    message, logged = "", 0.0
    for line in lines:
        event = json.loads(line)
        if event["event"] == "error":
            message = event["message"]
        elif event["event"] == "step" and (time.monotonic() - logged > 10 or event["step"] == event["total"]):
            logged = time.monotonic()
            logger.info("%s: step %d/%d, loss %.4f", what, event["step"], event["total"], event["loss"])
    return message
