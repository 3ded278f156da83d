"""`marl-llm credit`: what other reward weights would make of trajectories that are there."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.cli.words import Commands, run_option, say, say_json
from marl_llm.core.errors import UserError

if TYPE_CHECKING:
    from marl_llm.workspace.run import RunDirectory


def _credit(args: argparse.Namespace) -> int:
    from marl_llm.pipeline.rescore import changed_weights, credit_folder, render_changes, rescore
    from marl_llm.workspace.recipe import load_rewards
    from marl_llm.workspace.shared_run import run_to_read

    run, weights, name = run_to_read(args.run), load_rewards(args.rewards), args.rewards.stem
    recipe, iterations = run.recipe(), chosen_iterations(run, args.iteration)
    changes = rescore(run, iterations, weights, name, args.out)
    written = [str(credit_folder(run, k, name, args.out)) for k in iterations]
    if args.json:
        say_json({"written": written, "changes": [asdict(one) for one in changes]})
        return 0
    differing = ", ".join(changed_weights(recipe.rewards, weights)) or "no weight differs"
    say(f"{args.rewards} against the rewards of {args.run}: {differing}\n")
    say(render_changes(changes))
    say(f"\nWritten: {', '.join(written)}. The run's own credit is as it was.")
    say(f"To train on it: marl-llm train --run {args.run} --rewards {args.rewards} --out NEW")
    return 0


def chosen_iterations(run: RunDirectory, k: int | None) -> list[int]:
    """The collected iterations, or the one that was asked for.

    Raises
    ------
    UserError
        Nothing is collected, or not that one.
    """
    from marl_llm.pipeline.fork import collected_iterations

    run.recipe()
    found = collected_iterations(run)
    if not found:
        raise UserError(
            f"{run.root}: no iteration is collected whole; run `marl-llm rollout` first."
        )
    if k is not None and k not in found:
        raise UserError(
            f"{run.root}: iteration {k} is not collected; there are {found[0]} to {found[-1]}."
        )
    return found if k is None else [k]


def add(commands: Commands) -> None:
    """Add this command."""
    credit = commands.add_parser(
        "credit", help="new advantages of old trajectories by other reward weights"
    )
    run_option(credit, "run directory, which keeps its own credit", required=True)
    about = (
        "a recipe's rewards section as a file of its own, or a recipe, of which only that "
        "section is read"
    )
    credit.add_argument("--rewards", type=Path, required=True, metavar="YAML", help=about)
    credit.add_argument(
        "--iteration", type=int, metavar="K", help="only this one (default: all collected)"
    )
    where = (
        "directory for the tables (default: iteration_K/credit-NAME in the run, NAME as of the "
        "YAML)"
    )
    credit.add_argument("--out", type=Path, help=where)
    credit.add_argument("--json", action="store_true", help="print the comparison as JSON")
    credit.set_defaults(command=_credit)
