"""`marl-llm`: one thin function per command, arguments and words only.

In `train` the commands that make a team, in `credit` what other rewards make of old trajectories,
in `measure` whether a model can play, in `use` those for a person's own CSV, in `report` those that
tell others. Exit codes: 0 done, 1 the run or the candidate failed, 2 the user's mistake, 130
interrupted, 143 stopped by SIGTERM, which does what Ctrl-C does.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence

from marl_llm.cli import credit, measure, report, terminal, train, use
from marl_llm.cli.words import RESUMES, Command
from marl_llm.core.errors import UserError
from marl_llm.core.termination import terminated_as_interrupted

INTERRUPTED, TERMINATED = 130, 143
_BEGAN = time.monotonic()
_ABOUT = (
    "Two LLM agents improve scikit-learn models for your CSV. Exit codes: 0 done, 1 the run or the "
    "candidate failed, 2 the user's mistake, 130 interrupted, 143 stopped by SIGTERM."
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
    try:
        terminal.prepare(level)
    except UserError as error:
        terminal.tell(f"marl-llm: {error}")
        return error.exit_code
    for library in ("httpx", "botocore", "aiobotocore"):
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        with terminated_as_interrupted() as terminated:
            return _run(args, terminated)
    finally:
        if arguments is None and "triton" not in sys.modules:
            # Nothing is to be collected on the way out: that takes half a second of processor time.
            # Triton would report what is not collected, on thirty lines.
            gc.freeze()


def _run(args: argparse.Namespace, terminated: Callable[[], bool]) -> int:
    """The command's exit code; what a person is to read goes to standard error."""
    command: Command = args.command
    try:
        return command(args)
    except UserError as error:
        terminal.tell(f"marl-llm: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        what = "stopped by SIGTERM" if terminated() else "interrupted"
        terminal.tell(f"marl-llm: {what}; {getattr(args, 'kept', RESUMES)}")
        return TERMINATED if terminated() else INTERRUPTED
    except BrokenPipeError:
        return 1
