"""What a person sees: lines to standard output, sentences and progress to standard error.

Names and values come from CSVs, recipes and servers. Characters of them that would move the cursor,
colour the screen or turn the direction of a line are shown as escapes; what the terminal's encoding
lacks is too.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from marl_llm.core.errors import RunFailed, UserError

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Controls but for tab and line feed, marks of direction, separators of lines."""


def printable(text: str) -> str:
    """The text with unsafe characters as Python would escape them."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def prepare(level: int) -> None:
    """Make both streams take every text, and send progress of this level to standard error.

    Raises
    ------
    UserError
        Standard output is closed: the next file opened would stand in its place.
    """
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process lives
    if sys.stdout is None:
        raise UserError("standard output is closed: send it to a file, or to /dev/null.")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    progress = logging.StreamHandler(sys.stderr)
    progress.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(level=level, handlers=[progress])


def say(text: str = "") -> None:
    """Write one line of a command's result to standard output.

    Raises
    ------
    RunFailed
        It cannot be written, say because a disk is full. Later lines are lost without a word.
    BrokenPipeError
        Nobody reads it any more.
    """
    try:
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            raise
        raise RunFailed(
            f"standard output cannot be written ({error.strerror or error}): free some space, or "
            "send it elsewhere."
        ) from None


def tell(text: str) -> None:
    """Write one sentence to standard error, on one line; where that cannot be written, nothing."""
    with suppress(OSError):
        sys.stderr.write(" ".join(printable(text).splitlines()) + "\n")
        sys.stderr.flush()


def _discard_output() -> None:
    """Let what is still in the buffer, and whatever comes, go nowhere."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
