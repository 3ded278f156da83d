"""Commands that tell others: compare teams and baselines, publish adapters."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.cli.words import (
    Commands,
    base_option,
    names,
    run_place,
    say,
    say_json,
    server_option,
    silent,
)
from marl_llm.core.errors import UserError

if TYPE_CHECKING:
    from marl_llm.workspace.recipe import Recipe
    from marl_llm.workspace.run import RunDirectory


def _evaluate(args: argparse.Namespace) -> int:
    from marl_llm.evaluation import ARMS, Question, evaluate_procedural, evaluate_suite, report_text
    from marl_llm.rollout.budget import Budget

    if args.run is None and args.out is None:
        raise UserError("name a run with --run, or a directory for the results with --out.")
    if args.base and not args.team:
        raise UserError(
            "--base is the base model of a team from the Hub: name it with --team, or leave it out."
        )
    if args.tasks is not None and args.tasks < 1:
        raise UserError(f"--tasks {args.tasks}: there must be at least one task to compare on.")
    if args.suite and args.first_seed is not None:
        raise UserError(
            "--first-seed is of procedural tasks: name it with --tasks, or leave it out "
            "beside --suite."
        )
    run, recipe = _who(args)
    first = recipe.evaluation.first_seed if args.first_seed is None else args.first_seed
    out = args.out or run.root / "evaluation" / (
        args.suite.name if args.suite else f"procedural-{first}"
    )
    arms = args.arms or [name for name in ARMS if args.run or args.team or name != "trained"]
    question = Question(
        arms=tuple(arms),
        repeats=args.repeats,
        seed=args.seed,
        flaml_seconds=args.flaml_seconds,
        play_budget=Budget.parse(args.budget),
        against=args.against,
    )
    shown: Callable[[str], None] = silent if args.json else say
    compared = run, recipe.playing, question
    if args.tasks is None:
        report = evaluate_suite(
            *compared, suite=args.suite, servers=args.server, out=out, on_line=shown
        )
    else:
        report = evaluate_procedural(
            *compared,
            count=args.tasks,
            first_seed=first,
            servers=args.server,
            out=out,
            on_line=shown,
        )
    if args.json:
        say_json(report.to_dict())
    else:
        say(report_text(report))
    return 0


def _who(args: argparse.Namespace) -> tuple[RunDirectory, Recipe]:
    """The run whose adapters are compared, that of a team, or an empty one for arms that need none;
    and the recipe.
    """
    from marl_llm.workspace.run import RunDirectory
    from marl_llm.workspace.shared_run import run_to_read
    from marl_llm.workspace.teams import choose_team

    if args.run:
        run = run_to_read(args.run)
        return run, run.recipe()
    choice = choose_team(args.team, base=args.base)
    if not args.team:
        return RunDirectory(args.out), choice.recipe
    if choice.run is None:
        raise UserError(
            f"--team {args.team}: it has no adapters to compare; name it as an arm, "
            f"solve@{args.team}."
        )
    return choice.run, choice.recipe


def _publish(args: argparse.Namespace) -> int:
    from marl_llm.pipeline.publish import publish_run
    from marl_llm.workspace.shared_run import run_to_read

    for line in publish_run(
        run_to_read(args.run).root,
        repo_prefix=args.repo_prefix,
        endpoint=args.endpoint,
        dry_run=args.dry_run,
    ):
        say(line)
    return 0


def add(commands: Commands) -> None:
    """Add these commands."""
    evaluate = commands.add_parser("evaluate", help="compare teams and baselines on CSVs")
    who = evaluate.add_mutually_exclusive_group()
    about = "run directory, or s3://...; without it: arms that need none, and --out"
    who.add_argument("--run", type=run_place, metavar="RUN", help=about)
    team = "in its place, with --out: a team as solve takes it, e.g. user/name@revision on the Hub"
    who.add_argument("--team", help=team)
    base_option(evaluate)
    evaluate.add_argument(
        "--budget", default="60s", help="of the arms that play as solve does (default: 60s)"
    )
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("--suite", type=Path, help="directory with CSVs and task files")
    what.add_argument(
        "--tasks", type=int, metavar="N", help="so many unseen procedural tasks instead"
    )
    unseen = "seed of the first of these tasks (default: the recipe's evaluation.first_seed)"
    evaluate.add_argument("--first-seed", type=int, metavar="SEED", help=unseen)
    arms = ["untrained", "trained", "scripted", "hgb", "baseline"]
    playing = "solve, solve@untrained, solve@scripted, solve@run, no_agents, six_defaults"
    others = (
        f"{playing}, catboost, lightgbm, extra_trees, linear_one_hot, flaml, swapped, "
        "trained@VERSION"
    )
    about = f"of {', '.join(arms)} (the default; trained with --run or --team only), {others}"
    evaluate.add_argument("--arms", type=names, help=about)
    evaluate.add_argument(
        "--against", metavar="ARM", help="hold all other arms against this one, CSV by CSV"
    )
    budget = "CPU seconds of FLAML per trial (default: those a team took, or 60)"
    evaluate.add_argument("--flaml-seconds", type=float, metavar="S", help=budget)
    evaluate.add_argument(
        "--repeats", type=int, default=1, help="splits per CSV, each played once by every arm"
    )
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--out", type=Path, help="default: RUN/evaluation/SUITE")
    evaluate.add_argument("--json", action="store_true", help="print the result as JSON")
    server_option(evaluate)
    evaluate.set_defaults(command=_evaluate)
    publish = commands.add_parser(
        "publish", help="adapters and their cards to the Hugging Face Hub"
    )
    publish.add_argument("run", type=run_place, help="run directory, or s3://...")
    publish.add_argument(
        "--repo-prefix", required=True, help="user/name; each role's repository adds its own ending"
    )
    publish.add_argument("--endpoint", help="address of another hub")
    publish.add_argument("--dry-run", action="store_true", help="show what would be uploaded")
    publish.set_defaults(command=_publish)
