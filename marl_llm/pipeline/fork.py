"""A run that goes on from an iteration of another with other rewards: old rollouts and adapters
are copied, never played again, and credited by the new weights, so that a run has one set of them.

In: a run, one of its collected iterations, a new directory. Out: a run there whose next stage is to
train on that iteration. PPO's critics are left behind, as they value rewards of the old weights.
The other run is only read.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.environment.experience import STORE_FILE
from marl_llm.pipeline.credit import credit_rows, write_tables
from marl_llm.rewards import RewardConfig, score_rows
from marl_llm.rollout.metrics import team_metrics
from marl_llm.rollout.summary import read_summaries
from marl_llm.training.adapters import copy_version
from marl_llm.trajectories import read_rows
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

logger = logging.getLogger(__name__)
ORIGIN = "origin.json"


def collected_iterations(run: RunDirectory) -> list[int]:
    """Iterations whose trajectories are complete, in order."""
    folders = sorted(run.root.glob("iteration_*"))
    numbers = [int(path.name.removeprefix("iteration_")) for path in folders]
    return [k for k in numbers if run.collected(k)]


def fork_run(source: RunDirectory, k: int, weights: RewardConfig, target: RunDirectory) -> Recipe:
    """Make `target` a run that stands where `source` stood before it trained on iteration k, but
    for its rewards.

    What an interrupted fork left is completed; the caller holds `target`.

    Returns
    -------
    Recipe
        The new run's: that of `source` with these weights.

    Raises
    ------
    UserError
        `target` is `source`, or another run, or an adapter is missing.
    RunFailed
        The disk does not take the copy.
    """
    recipe = source.recipe().model_copy(update={"rewards": weights})
    origin = {"run": str(source.root.resolve()), "iteration": k}
    _require_free(source, target, origin)
    write_json(target.root / ORIGIN, origin)
    for trainee in source.trainees:
        for version in range(k + 1):
            place = target.adapters / f"{trainee}-v{version}"
            if not place.is_dir():
                copy_version(source.adapter(trainee, version), place)
    target.prepare(recipe)
    for i in range(k + 1):
        _copy_iteration(source, target, i)
    for i in range(k):
        _finish(recipe, source, target, i)
    logger.info("%s goes on from iteration %d of %s", target.root, k, source.root)
    return recipe


def _require_free(source: RunDirectory, target: RunDirectory, origin: dict[str, str | int]) -> None:
    if target.root.resolve() == source.root.resolve():
        raise UserError(
            f"{target.root} is the run itself, whose rewards stay: name a new directory with --out."
        )
    told = target.root / ORIGIN
    known = json.loads(told.read_text()) if told.is_file() else None
    others = [path for path in target.root.iterdir() if path.name not in (".lock", ORIGIN)]
    if known != origin and (known is not None or others):
        raise UserError(f"{target.root} holds something else: name a new directory with --out.")


def _copy_iteration(source: RunDirectory, target: RunDirectory, k: int) -> None:
    """Trajectories, and what their episodes were told of other data sets."""
    _copy(source.trajectories(k), target.trajectories(k))
    shown = source.iteration(k) / STORE_FILE
    if shown.is_file():
        shutil.copyfile(shown, target.iteration(k) / STORE_FILE)


def _copy(before: Path, after: Path) -> None:
    """Copy a directory; it is there whole or not at all."""
    if after.is_dir():
        return
    half = after.with_name(f".{after.name}.tmp")
    try:
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(before, half)
        half.replace(after)
    except (OSError, shutil.Error) as error:
        raise RunFailed(
            f"{after} cannot be written ({error}); free some space and run again."
        ) from None


def _finish(recipe: Recipe, source: RunDirectory, target: RunDirectory, i: int) -> None:
    """Mark an earlier iteration done: its metrics, with the rewards and the credit of the new
    weights.
    """
    if target.metrics(i).is_file():
        return
    credit = credit_rows(recipe, target, i, recipe.rewards)
    write_tables(credit, target.iteration(i) / "credit")
    rows = score_rows(read_rows(target.trajectories(i)), recipe.rewards)
    collected = team_metrics(rows, read_summaries(target.trajectories(i)))
    metrics = json.loads(source.metrics(i).read_text())
    statistics = {role: told for role, (_, told) in credit.items()}
    write_json(target.metrics(i), metrics | {"collected": collected, "credit": statistics})
