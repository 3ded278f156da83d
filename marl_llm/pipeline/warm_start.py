"""The stage before iteration 0: both adapters learn the form of an answer from the scripted pair.

Scripted episodes are played without a model server, each decision rendered as the recipe's prompts do and implemented
by the reference compiler; both adapters imitate them (SFT). What comes out is version 0 of each adapter. It teaches the
form and not taste: proposals stay undirected. The episodes lie in `warm_start/`, and a stage that was interrupted goes
on from what is there.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from pathlib import Path
from typing import Any

from marl_llm.core.atomic import write_json
from marl_llm.core.base_model import local_model
from marl_llm.core.roles import ROLES, TEAM
from marl_llm.credit import assign_credit, write_credit
from marl_llm.rewards import score_rows
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.episode import Team
from marl_llm.rollout.plans import procedural_plans
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.teacher import Teacher
from marl_llm.sandbox import Sandbox
from marl_llm.serving.in_process.chat import ChatTokenizer
from marl_llm.training.config import TrainConfig
from marl_llm.trajectories import read_rows, write_manifest
from marl_llm.workspace.open_run import settings
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.trainers import Running, run_together, run_trainer

logger = logging.getLogger(__name__)


def warm_start_stage(recipe: Recipe, run: RunDirectory, sandbox: Sandbox) -> None:
    """Make version 0 of the adapters, if the recipe asks for a warm start and it is not done.

    Raises
    ------
    UserError
        The model has no chat template or end token.
    RunFailed
        The sandbox or a trainer failed; what was finished is kept.
    """
    if not recipe.warm_start.episodes:
        return
    waiting = [trainee for trainee in run.untrained if not run.adapter(trainee, 0).is_dir()]
    if not waiting:
        return
    folder = run.warm_start
    if not (folder / "trajectories" / "manifest.json").is_file():
        _play(recipe, folder / "trajectories", sandbox)
        write_manifest(folder / "trajectories")
    rows = score_rows(read_rows(folder / "trajectories"), recipe.rewards)
    for role in ROLES:
        write_credit(assign_credit(rows, role, recipe.credit_of(role))[0], folder / "credit" / f"{role}.parquet")
    run_together([functools.partial(_train, recipe, run, trainee) for trainee in waiting], recipe.training.at_once)
    shown = {trainee: _figures(folder / f"{trainee}.json") for trainee in run.untrained}
    write_json(folder / "metrics.json", shown)
    for trainee, figures in shown.items():
        logger.info("warm start %s: %d rows, loss %.3f to %.3f nats a token", trainee, *figures.values())


def _play(recipe: Recipe, directory: Path, sandbox: Sandbox) -> None:
    """Scripted episodes: groups of different answers to the same prompt, each implemented once."""
    section, tokenizer = recipe.warm_start, ChatTokenizer(local_model(recipe.model.path))
    scripted = ScriptedPolicy(space=section.space, answer=recipe.prompts.reference_answer)
    team = Team(Teacher(scripted, tokenizer), Teacher(scripted, tokenizer))
    tree = {"proposals": section.proposals, "implementations": 1, "advance": "sampled"}
    chosen = settings(recipe, 0, rollout=recipe.rollout.model_copy(update=tree))
    seeds = range(section.first_seed, section.first_seed + section.episodes)
    collector = Collector(directory, team, sandbox, recipe.sandbox.slots, chosen)
    asyncio.run(collector.collect(procedural_plans(seeds), Progress("warm start")))


def _train(recipe: Recipe, run: RunDirectory, trainee: str, running: Running) -> None:
    path = run.warm_start / f"{trainee}-spec.json"
    write_json(path, _spec(recipe, run, trainee))
    run_trainer(path, f"warm start {trainee}", running)


def _spec(recipe: Recipe, run: RunDirectory, trainee: str) -> dict[str, Any]:
    """What the trainer of one adapter is told."""
    section, folder = recipe.warm_start, run.warm_start
    roles = ROLES if trainee == TEAM else (trainee,)
    config: TrainConfig = getattr(recipe.training, roles[0])
    learning = {
        "algorithm": "sft", "selection": "all", "imitate": (), "max_age": 0, "learning_rate": section.learning_rate,
        "epochs": section.epochs, "batch_rows": section.batch_rows, "gradient_accumulation": 1,
        "lr_scheduler": "linear", "warmup": section.warmup,
    }  # fmt: skip
    return {
        "role": trainee,
        "rows": [str((folder / "trajectories").resolve())],
        "credit": [str((folder / "credit" / f"{role}.parquet").resolve()) for role in roles],
        "base_dir": str(local_model(recipe.model.path).resolve()),
        "adapter_dir": str(run.untrained[trainee].resolve()),
        "out_dir": str(run.adapter(trainee, 0).resolve()),
        "workdir": str((folder / f"{trainee}-work").resolve()),
        "metrics": str((folder / f"{trainee}.json").resolve()),
        "seed": recipe.seed,
        "config": config.model_copy(update=learning).model_dump(mode="json"),
    }


def _figures(path: Path) -> dict[str, float]:
    metrics = json.loads(path.read_text())
    return {"rows": metrics["rows"], "loss_first": metrics["loss"][0], "loss_last": metrics["loss"][-1]}
