"""Commands for a person's own CSV: improve a model on it, look at how it is read, score a file; and
what is needed.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.cli.words import (
    ENTRY_OPTIONS,
    NOTHING_KEPT,
    Commands,
    base_option,
    data_options,
    say,
    say_json,
    server_option,
    silent,
    task_entry,
)
from marl_llm.core.errors import UserError

if TYPE_CHECKING:
    from marl_llm.rollout.playing import Limits
    from marl_llm.solve import SolveReport
    from marl_llm.tasks import TaskFile

_BEST_KEPT = (
    "the best model so far and its history are kept in --out; the same command starts over."
)
_NONE_YET = "there was no model to deliver yet; the same command starts over."
_SUITE_KEPT = (
    "what was delivered is kept in --out, a directory per CSV; the same command starts over."
)


def _solve(args: argparse.Namespace) -> int:
    from marl_llm.solve.directory import SolveDirectory
    from marl_llm.solve.solve import check_numbers

    if args.csv.is_dir():
        return _solve_suite(args)
    entry, limits = task_entry(args), _limits(args)
    check_numbers(limits, entry.seed)  # before a team is fetched
    args.kept, began = _NONE_YET, time.time()
    try:
        report = _improved(args, entry, limits)
    except KeyboardInterrupt:
        if SolveDirectory(args.out).delivered_since(began):
            args.kept = _BEST_KEPT
        raise
    if args.json:
        say_json(report.to_dict())
    return 0


def _improved(args: argparse.Namespace, entry: TaskFile, limits: Limits) -> SolveReport:
    from marl_llm.rollout.budget import Clock
    from marl_llm.solve import read_memory, solve_task
    from marl_llm.solve.experience import named_store
    from marl_llm.workspace.teams import choose_team

    return solve_task(
        entry,
        memory=read_memory(args.memory) if args.memory else None,
        team=choose_team(args.team, base=args.base),
        limits=limits,
        out=args.out,
        servers=args.server,
        experience=named_store(args.experience),
        clock=Clock(limits.budget, *args.began),
        on_line=silent if args.json else say,
    )


def _limits(args: argparse.Namespace) -> Limits:
    from marl_llm.rollout.budget import Budget
    from marl_llm.rollout.playing import DEFAULT_PATIENCE, Limits

    patience = DEFAULT_PATIENCE if args.patience is None else args.patience
    return Limits(Budget.parse(args.budget), args.steps, patience)


def _solve_suite(args: argparse.Namespace) -> int:
    from marl_llm.solve import solve_task
    from marl_llm.solve.experience import named_store
    from marl_llm.solve.suite import solve_suite
    from marl_llm.tasks import load_suite
    from marl_llm.workspace.teams import choose_team, team_session

    ignored = [
        f"--{name}"
        for name in (*ENTRY_OPTIONS, "metric", "memory")
        if name != "seed" and getattr(args, name)
    ]
    if ignored:
        raise UserError(
            f"{args.csv} is a directory, its task files say what {ignored[0]} would: change "
            "it there."
        )
    entries, store = load_suite(args.csv, args.seed or 0), named_store(args.experience)
    limits, args.kept = _limits(args), _SUITE_KEPT
    choice = choose_team(args.team, base=args.base)
    with team_session(choice, args.out, args.server) as session:

        def solve(entry: TaskFile, out: Path) -> SolveReport:
            return solve_task(
                entry,
                team=choice,
                limits=limits,
                out=out,
                session=session,
                experience=store,
            )

        rows = solve_suite(entries, args.out, solve, silent if args.json else say)
    if args.json:
        say_json(
            {
                row.name: row.report.to_dict() if row.report else {"problem": row.problem}
                for row in rows
            }
        )
    return 0 if all(row.report for row in rows) else 1


def _inspect(args: argparse.Namespace) -> int:
    from marl_llm.core.atomic import write_text
    from marl_llm.tasks.detected import detected, task_file
    from marl_llm.tasks.understood import detected_record, write_understood

    if args.out and args.out.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(f"{args.out} is no name for a task file: let it end with .yaml.")
    entry = task_entry(args)
    task = entry.load()
    shown = silent if args.json else say
    for line in (*detected(task), *(f"warning: {warning}" for warning in task.warnings)):
        shown(line)
    if args.json:
        say_json(detected_record(task))
    if args.table:
        write_understood(task, args.table)
        shown(f"{args.table}: the table as it was read")
    if args.out:
        write_text(args.out, task_file(task, os.path.relpath(entry.csv, args.out.parent)))
        shown(
            f"{args.out}: change what was detected there, then marl-llm solve {args.out} --out ..."
        )
    return 0


def _score(args: argparse.Namespace) -> int:
    from marl_llm.solve import score_file

    result = score_file(args.code, task_entry(args), level=args.sandbox)
    if args.json:
        say_json(result)
    else:
        say(f"{result['status']}: {result['error']}" if result["status"] != "ok" else "ok")
        scored = ((part, found) for part, found in result["metrics"].items() if found)
        for part, scores in scored:
            raw = ", ".join(f"{name} {value:.4f}" for name, value in scores["raw"].items())
            say(f"{part}: score {scores['score']:.4f} ({raw})")
    return 0 if result["status"] == "ok" else 1


def _doctor(args: argparse.Namespace) -> int:
    from marl_llm.doctor import doctor, healthy, render

    checks = doctor()
    say(render(checks))
    return 0 if healthy(checks) else 1


def add(commands: Commands) -> None:
    """Add these commands."""
    solve = commands.add_parser("solve", help="improve a model on your own CSV")
    data_options(solve)
    teams = (
        "trained (default where it is shipped), untrained, scripted, a run directory or its "
        "address, or user/name@revision (Hub)"
    )
    solve.add_argument("--team", help=teams)
    solve.add_argument(
        "--budget", default="60s", help="time for everything: 60s, 5m, or '90s cpu' (default: 60s)"
    )
    solve.add_argument("--steps", type=int, help="maximum number of proposals (default: by budget)")
    solve.add_argument(
        "--patience",
        type=int,
        help="proposals in a row without a gain that end it; a wish to finish counts as 6 "
        "(default: 100)",
    )
    solve.add_argument(
        "--out",
        type=Path,
        required=True,
        help="directory for solution.py, the model and the history",
    )
    solve.add_argument(
        "--memory",
        type=Path,
        help="directory of an earlier solve: what it tried is not tried again",
    )
    solve.add_argument(
        "--experience",
        metavar="FILE",
        help="store of what worked on earlier CSVs, or none (default: your own)",
    )
    base_option(solve)
    server_option(solve)
    solve.set_defaults(command=_solve, kept=_NONE_YET)
    inspect = commands.add_parser(
        "inspect", help="what is detected in a CSV, and a task file to change it"
    )
    data_options(inspect)
    inspect.add_argument(
        "--out", type=Path, help="write a task file (.yaml) with all that was detected"
    )
    inspect.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="write the table as it was read: decimal points, ISO dates, empty where missing",
    )
    inspect.set_defaults(command=_inspect, kept=NOTHING_KEPT)
    score = commands.add_parser("score", help="evaluate one file that defines build_pipeline()")
    score.add_argument("code", type=Path, help="Python file that defines build_pipeline()")
    data_options(score)
    score.add_argument("--sandbox", default="bubblewrap", help="isolation: bubblewrap or landlock")
    score.set_defaults(command=_score, kept=NOTHING_KEPT)
    doctor = commands.add_parser("doctor", help="what this machine can do, and what is missing")
    doctor.set_defaults(command=_doctor, kept=NOTHING_KEPT)
