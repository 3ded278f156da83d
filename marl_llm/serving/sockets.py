"""Where a server of ours keeps the Unix sockets between its processes: a directory of its own,
which its guard removes; what a killed guard left is swept before the next server starts.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "marl-llm-server-"


def new_socket_directory() -> Path:
    """Make a directory whose name tells the process that owns the server; short, as the names of
    sockets are limited to about 100 characters.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def sweep_sockets() -> None:
    """Remove the directories of owners that are gone; those of other users stay."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).partition("-")[0]
        try:
            ours = left.lstat().st_uid == os.getuid() and left.is_dir()
        except FileNotFoundError:
            continue
        if ours and owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)
