"""Directories that a user names: made if need be, and kept for one process at a time by a lock of
the operating system, which ends with its process however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from marl_llm.core.errors import UserError

LOCK_FILE = ".lock"
STAGING = ".staging-"
"""Beginning of the name of a directory in which something is made before it takes its place."""
_LONGEST = 300


def make_directory(path: Path) -> None:
    """Make a directory that the user named, unless it is there.

    Raises
    ------
    UserError
        It cannot be made: a file of that name, no permission.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path} cannot be a directory ({error.strerror or error}): name another."
        ) from None


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keep a directory, which is made if need be, for this process until the block ends.

    Raises
    ------
    UserError
        Another process is at work in it, which is named; or it cannot be made or written.
    """
    make_directory(directory)
    try:
        file = (directory / LOCK_FILE).open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror or error}): name another directory."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = " ".join(file.read(_LONGEST).split()) or "another process"
            raise UserError(
                f"{directory}: another process is at work there ({holder}); wait for it, stop it, "
                "or name another directory."
            ) from None
        _sign(directory, file.fileno())
        yield


def _sign(directory: Path, lock: int) -> None:
    """Write into the lock who holds it, at once: a buffer would be written again when it is closed.

    Raises
    ------
    UserError
        The disk does not take it, as it would take nothing else.
    """
    try:
        os.ftruncate(lock, 0)
        os.write(lock, _holder().encode("utf-8", "replace"))
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror or error}): free some space, or name "
            "another directory."
        ) from None


def _holder() -> str:
    """This process, in words."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return f"process {os.getpid()}, {command}, since {since}\n"


def sweep(directory: Path) -> list[Path]:
    """Remove what killed processes left half made in a directory of ours, which is held: staging
    directories and the temporary files of `core.atomic`. Returns what was removed.
    """
    left = [
        path
        for path in directory.rglob(".*")
        if (path.name.startswith(STAGING) and path.is_dir())
        or (path.name.endswith(".tmp") and path.is_file())
    ]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return left
