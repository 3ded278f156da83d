"""Files that are there whole or not at all, also after a kill or a full disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from marl_llm.core.errors import RunFailed

REMEDY = "free some space and run again."


@contextmanager
def replacing(path: Path, what: str = "", remedy: str = REMEDY) -> Iterator[BinaryIO]:
    """Open a temporary neighbour of `path` that takes its place, synced to disk, when the block
    ends without an error.

    The neighbour's name is fixed, so that what a killed writer left is overwritten by the next.

    Raises
    ------
    RunFailed
        The disk refuses the file; an older one stays as it was. The sentence names `what` it is
        (e.g. "the metrics") and the `remedy`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        with suppress(OSError):  # where it could not be made it cannot be removed
            temporary.unlink()
        subject = f"{what} cannot" if what else "cannot"
        raise RunFailed(
            f"{path}: {subject} be written ({error.strerror or error}); {remedy}"
        ) from error


def write_text(path: Path, text: str, what: str = "") -> None:
    """Write a text file; errors as of `replacing`."""
    with replacing(path, what) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, content: object, what: str = "") -> None:
    """Write JSON; errors as of `replacing`."""
    write_text(path, json.dumps(content, indent=1) + "\n", what)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
