"""Collect, credit, train, again and again: the stages of one iteration over a run directory. Each resumes where it stopped.

The stages meet only in files. Training runs in a process of its own; the model server may stay up meanwhile, or be stopped to
free a GPU.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_llm.credit import assign_credit, write_credit
from marl_llm.errors import RunFailed
from marl_llm.recipe import Recipe, load_recipe
from marl_llm.roles import ROLES
from marl_llm.rollout.collect import Collector, CollectSettings, PlannedEpisode, read_summaries
from marl_llm.rollout.metrics import team_metrics
from marl_llm.rollout.policies import PolicyInfo
from marl_llm.rollout.progress import Progress, minutes
from marl_llm.rollout.session import RolePolicy, ServerSession, make_team, token_counter
from marl_llm.run import RunDirectory, write_json
from marl_llm.sandbox import Limits, Sandbox
from marl_llm.serving import ChatClient, ServerConfig
from marl_llm.tasks.procedural import procedural_task
from marl_llm.tasks.suite import load_suite
from marl_llm.trajectories import read_rows, write_manifest

logger = logging.getLogger(__name__)


def server_session(recipe: Recipe, run: RunDirectory, attach: str | None = None) -> ServerSession:
    """The server of a run, not started yet."""
    section = recipe.serving
    config = ServerConfig(
        max_model_len=section.max_model_len,
        max_num_seqs=section.max_num_seqs,
        max_lora_rank=recipe.model.rank,
        kv_cache_gib=section.kv_cache_gib,
        gpu_memory_utilization=section.gpu_memory_utilization,
        start_timeout_s=section.start_timeout_s,
    )
    return ServerSession(recipe.model.path, section.port, run.root / "server.log", config, attach)


@contextmanager
def open_sandbox(recipe: Recipe) -> Iterator[Sandbox]:
    """The sandbox of a run, self-tested."""
    section = recipe.sandbox
    limits = Limits(wall_s=section.wall_s, cpu_s=int(section.wall_s), memory_bytes=int(section.memory_gib * 2**30))
    with Sandbox(slots=section.slots, level=section.level, limits=limits) as sandbox:
        yield sandbox


def settings(recipe: Recipe, iteration: int, **changes: Any) -> CollectSettings:
    """The sections of the recipe that collecting reads."""
    values = {
        "run": recipe.name, "iteration": iteration, "seed": recipe.seed, "environment": recipe.environment,
        "prompts": recipe.prompts, "rollout": recipe.rollout, "rewards": recipe.rewards,
        "count": token_counter(recipe.model.path),
    }  # fmt: skip
    return CollectSettings(**{**values, **changes})


def training_plans(recipe: Recipe, k: int) -> list[PlannedEpisode]:
    """The episodes of iteration k: procedural tasks by seed, or the suite's CSV files in turn."""
    count, first = recipe.tasks.per_iteration, recipe.tasks.first_seed + k * recipe.tasks.per_iteration
    if recipe.tasks.suite is None:
        return [PlannedEpisode(f"p{s}", functools.partial(procedural_task, s)) for s in range(first, first + count)]
    files = load_suite(Path(recipe.tasks.suite))
    chosen = [(i, files[i % len(files)]) for i in range(k * count, (k + 1) * count)]
    return [PlannedEpisode(f"e{i}-{Path(f.csv).stem}", f.load) for i, f in chosen]


def policies(recipe: Recipe, run: RunDirectory, versions: dict[str, int]) -> dict[str, RolePolicy]:
    """The adapters of these versions, with the names they have on the server."""
    named = {}
    for role, version in versions.items():
        info = PolicyInfo(f"{recipe.name}-{role}-v{version}", version, run.sha256(role, version))
        named[role] = RolePolicy(run.adapter(role, version), info)
    return named


@dataclass(frozen=True)
class OpenRun:
    """A run with what its stages need: the recipe, a server that starts when first asked for, and the sandbox."""

    recipe: Recipe
    run: RunDirectory
    session: ServerSession
    sandbox: Sandbox


@contextmanager
def open_run(
    recipe_path: Path, directory: Path, attach: str | None = None, *, iterations: int | None = None
) -> Iterator[OpenRun]:
    """Make or resume a run; the server and the sandbox end with the block."""
    recipe, run = load_recipe(recipe_path), RunDirectory(directory)
    if iterations is not None:
        recipe = recipe.model_copy(update={"iterations": iterations})
    run.prepare(recipe)
    with server_session(recipe, run, attach) as session, open_sandbox(recipe) as sandbox:
        yield OpenRun(recipe, run, session, sandbox)


def collect_stage(opened: OpenRun, k: int) -> None:
    """Collect iteration k's trajectories; does nothing if they are all there."""
    recipe, run = opened.recipe, opened.run
    if run.collected(k):
        logger.info("iteration %d is already collected", k)
        return
    roles = policies(recipe, run, dict.fromkeys(ROLES, k))
    play(opened, roles, run.trajectories(k), training_plans(recipe, k), settings(recipe, k), f"collect {k}")
    write_manifest(run.trajectories(k))


def play(
    opened: OpenRun,
    roles: dict[str, RolePolicy],
    directory: Path,
    plans: list[PlannedEpisode],
    chosen: CollectSettings,
    what: str,
) -> None:
    """Play planned episodes with served policies into a directory."""
    server = opened.session.server()

    async def run_all() -> None:
        async with ChatClient(server) as client:
            team = await make_team(client, roles, chosen.rollout)
            slots = opened.recipe.sandbox.slots
            await Collector(directory, team, opened.sandbox, slots, chosen).collect(plans, Progress(what))

    asyncio.run(run_all())


def train_stage(recipe: Recipe, run: RunDirectory, k: int) -> None:
    """Credit and train both roles on iteration k's rows; a role whose next version exists is left alone."""
    rows = read_rows(run.trajectories(k))
    statistics: dict[str, Any] = {}
    for role in ROLES:
        table, statistics[role] = assign_credit(rows, role, recipe.credit)
        write_credit(table, run.credit(k, role))
        if not run.adapter(role, k + 1).is_dir():
            train_in_process(recipe, run, k, role)
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
        "base_dir": str(Path(recipe.model.path).resolve()),
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
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as worker:
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


def evaluation_plans(recipe: Recipe) -> list[PlannedEpisode]:
    """Procedural tasks that no training iteration of the recipe sees."""
    section = recipe.evaluation
    seeds = range(section.first_seed, section.first_seed + section.tasks)
    return [PlannedEpisode(f"p{seed}", functools.partial(procedural_task, seed)) for seed in seeds]


def evaluate_stage(opened: OpenRun, version: int) -> dict[str, Any]:
    """Play the unseen tasks with version `version` of both adapters, one plain episode each; returns the figures."""
    recipe, run = opened.recipe, opened.run
    folder = run.root / "evaluation" / "procedural" / f"v{version:04d}"
    result = folder / "metrics.json"
    if not result.is_file():
        plain = recipe.rollout.model_copy(update={"proposals": 1, "implementations": 1})
        # The same iteration number for every version: the same tasks and seeds, so that differences are paired.
        chosen = settings(recipe, 0, rollout=plain, test_scores=True)
        roles = policies(recipe, run, dict.fromkeys(ROLES, version))
        play(opened, roles, folder, evaluation_plans(recipe), chosen, f"evaluate v{version}")
        summaries = read_summaries(folder)
        figures = team_metrics(read_rows(folder), summaries)
        tests = [s.test_final - s.test_baseline for s in summaries if s.test_final is not None and s.test_baseline is not None]
        figures["test_gain"] = sum(tests) / max(1, len(tests))
        write_json(result, figures)
    return json.loads(result.read_text())


def _due(recipe: Recipe, version: int) -> bool:
    every = recipe.evaluation.every
    return version in (0, recipe.iterations) or (every > 0 and version % every == 0)


def iterate(opened: OpenRun) -> None:
    """All rounds of the recipe that are not done yet, with the evaluations that are due."""
    recipe, run = opened.recipe, opened.run
    for k in range(recipe.iterations):
        if _due(recipe, k):
            evaluate_stage(opened, k)
        if run.metrics(k).is_file():
            continue
        collect_stage(opened, k)
        if not recipe.serving.while_training:
            opened.session.stop()
        train_stage(recipe, run, k)
        logger.info("%s", describe_iteration(run, k))
    evaluate_stage(opened, recipe.iterations)


def describe_iteration(run: RunDirectory, k: int) -> str:
    """One line about a finished iteration."""
    figures = json.loads(run.metrics(k).read_text())
    collected, rewards = figures["collected"], figures["collected"]["reward"]
    return (
        f"iteration {k}: reward Data Scientist {rewards['data_scientist']:+.4f}, Engineer {rewards['ml_engineer']:+.4f}, "
        f"gain {collected['gain']:+.3f}, done as asked {collected['as_asked']:.0%}, failed {collected['failed_code']:.0%}, "
        f"invalid {collected['invalid_actions']:.0%}, {collected['tokens_per_step']:.0f} tokens/step"
    )


def render_curve(run: RunDirectory) -> str:
    """The learning curve on the unseen tasks, a line a version."""
    lines = ["unseen procedural tasks, one episode each; gains in skill over the baseline",
             "version  gain(hold-out)  gain(test)  reward DS  reward Eng  as asked  failed  invalid  tokens/step  steps"]
    for path in sorted((run.root / "evaluation" / "procedural").glob("v*/metrics.json")):
        f = json.loads(path.read_text())
        lines.append(
            f"{path.parent.name:<7}  {f['gain']:>+14.4f}  {f['test_gain']:>+10.4f}  {f['reward']['data_scientist']:>+9.4f}  "
            f"{f['reward']['ml_engineer']:>+10.4f}  {f['as_asked']:>8.1%}  {f['failed_code']:>6.1%}  "
            f"{f['invalid_actions']:>7.1%}  {f['tokens_per_step']:>11.0f}  {f['steps']:>5.1f}"
        )
    return "\n".join(lines)
