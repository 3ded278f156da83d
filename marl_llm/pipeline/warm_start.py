"""The stage before iteration 0: both adapters learn the form of an answer from the scripted pair.

Scripted episodes are played without a model server, each decision rendered as the recipe's prompts
do and implemented by the reference compiler; both adapters imitate them (SFT), the Data Scientist
few of its wishes to finish, which are played so that the Engineer sees deliveries. What comes out
is version 0 of each adapter. It teaches the form and not taste: proposals stay undirected. The
episodes lie in `warm_start/`, and a stage that was interrupted goes on from what is there.
"""

from __future__ import annotations

import functools
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from marl_llm.algorithms import SFT
from marl_llm.algorithms.worker import WorkerSpec
from marl_llm.core.atomic import write_json
from marl_llm.core.base_model import local_model
from marl_llm.core.roles import DATA_SCIENTIST, ROLES, TEAM
from marl_llm.credit import assign_credit, write_credit
from marl_llm.rewards import score_rows
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors.machines import Machines
from marl_llm.rollout.plans import procedural_plans
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.rollout.teacher import Teacher
from marl_llm.serving.in_process.chat import ChatTokenizer
from marl_llm.trajectories import lost_episodes, read_rows, write_manifest
from marl_llm.workspace.open_run import play_scripted, settings
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.trainers import Running, run_together, run_trainer

logger = logging.getLogger(__name__)


def warm_start_stage(recipe: Recipe, run: RunDirectory, machines: Machines) -> None:
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
    if lost_episodes(folder / "trajectories") != 0:
        _play(recipe, folder / "trajectories", machines)
        write_manifest(folder / "trajectories")
    rows = score_rows(read_rows(folder / "trajectories"), recipe.rewards)
    for role in ROLES:
        credit = assign_credit(rows, role, recipe.credit_of(role))[0]
        left_out = _left_out(rows, role, recipe)
        credit["kept"] = ~left_out
        credit["reason"] = np.where(left_out, "beyond warm_start.finish", "")
        write_credit(credit, folder / "credit" / f"{role}.parquet")
    run_together(
        [functools.partial(_train, recipe, run, trainee) for trainee in waiting],
        recipe.training.at_once,
    )
    shown = {trainee: _figures(folder / f"{trainee}.json") for trainee in run.untrained}
    write_json(folder / "metrics.json", shown)
    for trainee, figures in shown.items():
        logger.info(
            "warm start %s: %d rows, loss %.3f to %.3f nats a token", trainee, *figures.values()
        )
    run.sync()


def _left_out(rows: pd.DataFrame, role: str, recipe: Recipe) -> npt.NDArray[np.bool_]:
    """Rows of a role that are not imitated: the Data Scientist's wishes to finish beyond the share
    `warm_start.finish`, which were played for the Engineer's sake. Which of them stay is drawn with
    the recipe's seed.
    """
    mine = rows.loc[rows["role"] == role, "action"].fillna("").astype(str)
    finishes = mine.str.startswith("finish").to_numpy()
    left_out = np.zeros(len(mine), dtype=bool)
    share = recipe.warm_start.finish
    if role == DATA_SCIENTIST and share < 1 and not finishes.all():
        stay = int(share / (1 - share) * int((~finishes).sum()))
        drawn = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(finishes))
        left_out[drawn[stay:]] = True
    return left_out


def _play(recipe: Recipe, directory: Path, machines: Machines) -> None:
    """Scripted episodes: groups of different answers to the same prompt, each implemented once."""
    section, tokenizer = recipe.warm_start, ChatTokenizer(local_model(recipe.model.path))
    answer = recipe.prompts.reference_answer
    scripted = ScriptedPolicy(space=section.space, finish=section.deliveries, answer=answer)
    team = Team(Teacher(scripted, tokenizer), Teacher(scripted, tokenizer))
    # "best": none ends while another branch goes on.
    tree = {"proposals": section.proposals, "implementations": 1, "advance": "best"}
    rollout = recipe.rollout.model_copy(update=tree)
    chosen = replace(settings(recipe.playing, 0), rollout=rollout)
    seeds = range(section.first_seed, section.first_seed + section.episodes)
    play_scripted(machines, team, directory, procedural_plans(seeds), chosen, "warm start")


def _train(recipe: Recipe, run: RunDirectory, trainee: str, running: Running) -> None:
    path = run.warm_start / f"{trainee}-spec.json"
    _spec(recipe, run, trainee).write(path)
    run_trainer(path, f"warm start {trainee}", running)


def _spec(recipe: Recipe, run: RunDirectory, trainee: str) -> WorkerSpec:
    """What the trainer of one adapter is told."""
    folder, roles = run.warm_start, ROLES if trainee == TEAM else (trainee,)
    return WorkerSpec(
        role=trainee,
        rows=[(folder / "trajectories").resolve()],
        credit=[(folder / "credit" / f"{role}.parquet").resolve() for role in roles],
        base_dir=local_model(recipe.model.path).resolve(),
        adapter_dir=run.untrained[trainee].resolve(),
        out_dir=run.adapter(trainee, 0).resolve(),
        workdir=(folder / f"{trainee}-work").resolve(),
        metrics=(folder / f"{trainee}.json").resolve(),
        seed=recipe.seed,
        config=_imitation(recipe, roles[0]),
    )


def _imitation(recipe: Recipe, role: str) -> SFT:
    """Imitation of the rows that are kept, as `warm_start` says; what it does not say is as in
    `training`.
    """
    section, training = recipe.warm_start, recipe.training.of(role)
    return SFT(
        selection="kept",
        learning_rate=section.learning_rate,
        epochs=section.epochs,
        batch_rows=section.batch_rows,
        lr_scheduler="linear",
        warmup=section.warmup,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        batch_tokens=training.batch_tokens,
        checkpoint_steps=training.checkpoint_steps,
        precision=training.precision,
        gradient_checkpointing=training.gradient_checkpointing,
    )


def _figures(path: Path) -> dict[str, float]:
    metrics = json.loads(path.read_text())
    return {
        "rows": metrics["rows"],
        "loss_first": metrics["loss"][0],
        "loss_last": metrics["loss"][-1],
    }
