"""`marl-llm`: one thin function per command, arguments and words only.

In `train` the commands that make a team, in `credit` what other rewards make of old trajectories,
in `measure` whether a model can play, in `use` those for a person's own CSV, in `report` those that
tell others. Exit codes: 0 done, 1 the run or the candidate failed, 2 the user's mistake, 130
interrupted.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from collections.abc import Sequence

from marl_llm.cli import credit, measure, report, train, use
from marl_llm.cli.words import RESUMES, Command
from marl_llm.core.errors import UserError

INTERRUPTED = 130
_BEGAN = time.monotonic()
_ABOUT = (
    "Two LLM agents improve scikit-learn models for your CSV. Exit codes: 0 done, 1 the run or the "
    "candidate failed, 2 the user's mistake, 130 interrupted."
)


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="marl-llm", description=_ABOUT)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (train, credit, measure, use, report):
        group.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = build_parser().parse_args(arguments)
    # A budget covers the whole command, its imports too; of a call from elsewhere only what
    # follows.
    args.began = (_BEGAN, 0.0) if arguments is None else (time.monotonic(), time.process_time())
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    level = logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for library in (
        "httpx",
        "botocore",
        "aiobotocore",
    ):  # each request, and where credentials were found
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        return _run(args)
    finally:
        if arguments is None and "triton" not in sys.modules:
            # Nothing is to be collected on the way out: that takes half a second of processor time.
            # Triton would report what is not collected, on thirty lines.
            gc.freeze()


def _run(args: argparse.Namespace) -> int:
    """The command's exit code; what a person is to read goes to standard error."""
    command: Command = args.command
    try:
        return command(args)
    except UserError as error:
        sys.stderr.write(f"marl-llm: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"marl-llm: interrupted; {getattr(args, 'kept', RESUMES)}\n")
        return INTERRUPTED
    except BrokenPipeError:
        return 1
