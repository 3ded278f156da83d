"""What all commands share: how a result is written, and the options that describe a person's data
or a run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from marl_llm.cli.terminal import say
from marl_llm.core.errors import UserError

if TYPE_CHECKING:
    from marl_llm.storage import RunAddress
    from marl_llm.tasks import TaskFile

Command = Callable[[argparse.Namespace], int]


class Commands(Protocol):
    """Where a command adds itself."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """The parser of one more command."""
        ...


RESUMES = "what was finished is kept, the same command goes on from there."
NOTHING_KEPT = "nothing was written."
"""What an interruption leaves."""
ENTRY_OPTIONS = ("target", "kind", "positive", "features", "ignore", "group", "time", "seed")


def say_json(content: object) -> None:
    """Write a command's result as JSON."""
    say(json.dumps(content, indent=1, default=str))


def silent(line: str) -> None:
    """Where lines go that nobody wants to see."""


def metric(text: str) -> tuple[str, float]:
    """Read NAME or NAME=WEIGHT."""
    at = text.find("=", text.rfind("]") + 1)  # a class in brackets may hold the sign itself
    name, weight = (text[:at], text[at + 1 :]) if at >= 0 else (text, "")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write NAME or NAME=WEIGHT, e.g. f1_macro=1"
        ) from None


def names(text: str) -> list[str]:
    """Read names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def run_place(text: str) -> Path | RunAddress:
    """Read where a run lies: a directory, or a URL of shared storage."""
    if "://" not in text:
        return Path(text)
    from marl_llm.storage import RunAddress

    try:
        return RunAddress.parse(text) or Path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run_option(parser: argparse.ArgumentParser, about: str, *, required: bool = False) -> None:
    """A run: its directory, or its address on shared storage."""
    parser.add_argument(
        "--run", type=run_place, required=required, metavar="RUN", help=f"{about}, or s3://..."
    )


def task_entry(args: argparse.Namespace) -> TaskFile:
    """The task that the data options describe: a CSV, or a task file, whose keys the options
    override.
    """
    from dataclasses import replace

    from marl_llm.tasks import TaskFile, load_suite

    given = {name: getattr(args, name) for name in ENTRY_OPTIONS if getattr(args, name) is not None}
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


def data_options(parser: argparse.ArgumentParser) -> None:
    """A CSV or task file, and how it is read."""
    parser.add_argument(
        "csv",
        type=Path,
        help="your CSV, whose format is detected; a task file (see inspect); to solve also a "
        "directory of them",
    )
    parser.add_argument("--target", help="column to predict")
    parser.add_argument("--kind", help="binary, multiclass or regression (default: detected)")
    parser.add_argument("--positive", help="class that counts as positive")
    parser.add_argument(
        "--features", type=names, help="columns to use, separated by commas (default: all that fit)"
    )
    parser.add_argument("--ignore", type=names, help="columns not to use, separated by commas")
    parser.add_argument("--group", help="column whose values stay together in one part")
    parser.add_argument("--time", help="column to split by: the latest rows are held out")
    parser.add_argument(
        "--metric",
        type=metric,
        action="append",
        default=[],
        help="NAME or NAME=WEIGHT of scikit-learn; repeatable",
    )
    parser.add_argument("--seed", type=int, help="of the split and everything random (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def base_option(parser: argparse.ArgumentParser) -> None:
    """Where the base model of a team from the Hub lies."""
    about = "directory of the base model of a team from the Hub (default: downloaded by its name)"
    parser.add_argument("--base", type=Path, metavar="DIRECTORY", help=about)


def server_option(parser: argparse.ArgumentParser) -> None:
    """Model servers that run already."""
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="a running vLLM server to use; several share the work",
    )
