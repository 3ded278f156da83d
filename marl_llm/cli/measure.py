"""`marl-llm measure`: can a model play?"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.cli.words import Commands, run_place, say, say_json, server_option
from marl_llm.core.errors import UserError

if TYPE_CHECKING:
    from marl_llm.workspace.recipe import Recipe

DEFAULT_TASKS = 24


def _measure(args: argparse.Namespace) -> int:
    from marl_llm.evaluation.measure import (
        FIRST_SEED,
        latest_team,
        measure,
        suite_plans,
        unseen_plans,
    )
    from marl_llm.evaluation.playability import playability_text
    from marl_llm.workspace.shared_run import run_to_read

    if args.tasks is not None and args.tasks < 1:
        raise UserError(f"--tasks {args.tasks} leaves nothing to do: ask for at least 1.")
    recipe = _recipe(args)
    first_seed = FIRST_SEED if args.first_seed is None else args.first_seed
    plans = unseen_plans(args.tasks or DEFAULT_TASKS * (not args.suite), first_seed) + suite_plans(
        args.suite
    )
    team = latest_team(recipe.name, run_to_read(args.team)) if args.team else None
    with nullcontext(args.out) if args.out else tempfile.TemporaryDirectory() as folder:
        found = measure(recipe.playing, plans, Path(folder), team, args.server)
    if args.json:
        say_json(found.to_dict())
    else:
        say(playability_text(found))
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    """The recipe named, or the team's own; with another model where one is named."""
    from marl_llm.workspace.recipe import load_recipe
    from marl_llm.workspace.shared_run import run_to_read

    if args.recipe is None and args.team is None:
        raise UserError(
            "measure needs --recipe (whose prompts and sizes?) or --team (a run directory)."
        )
    recipe = load_recipe(args.recipe) if args.recipe else run_to_read(args.team).recipe()
    if args.model is None:
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"path": args.model})})


def add(commands: Commands) -> None:
    """Add this command."""
    measure = commands.add_parser(
        "measure", help="can a model play: shares of valid actions and of code that runs"
    )
    measure.add_argument("--recipe", type=Path, help="YAML recipe (default: the team's)")
    measure.add_argument("--model", help="model directory or Hub name, instead of the recipe's")
    measure.add_argument(
        "--team",
        type=run_place,
        metavar="RUN",
        help="run directory, or s3://...: its latest adapters (default: the base model)",
    )
    measure.add_argument(
        "--tasks", type=int, help=f"so many unseen procedural tasks (default: {DEFAULT_TASKS})"
    )
    measure.add_argument(
        "--first-seed", type=int, help="seed of the first of these tasks (default: 7000000)"
    )
    measure.add_argument(
        "--suite",
        type=Path,
        action="append",
        default=[],
        help="directory of CSVs to play, repeatable",
    )
    measure.add_argument(
        "--out", type=Path, help="keep the episodes here; the same command goes on from them"
    )
    measure.add_argument("--json", action="store_true", help="print the figures as JSON")
    server_option(measure)
    measure.set_defaults(command=_measure)
