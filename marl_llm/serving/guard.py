"""The process between us and vLLM: it makes sure that nothing of a server outlives its owner.

Run as a script, `python guard.py OWNER_PID DIRECTORY COMMAND ...`, in a session of its own. It
starts COMMAND, waits, and ends the whole process group when COMMAND ends, when its parent OWNER_PID
(the process that owns the server) is gone, or on SIGTERM; DIRECTORY, the server's own, goes then.
vLLM needs this: its engine process, with all the memory, lives on when the API process is killed,
and the API process lives on when we are.
Standard library only, so that it starts at once and weighs little.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

POLL_S = 0.2
GRACE_S = 10.0
"""Seconds that a server has to end by itself after SIGTERM."""
ORPHAN_GRACE_S = 1.0
"""The same for what a server that ended by itself leaves behind: it has nothing to save any more.
"""
_PR_SET_PDEATHSIG = 1

_stopping = False


def _ask_to_stop(_signal: int, _frame: object) -> None:
    global _stopping  # noqa: PLW0603 - a signal handler has nowhere else to write
    _stopping = True


def _end_with_guard() -> None:
    """Runs in the child: SIGTERM should the guard itself be killed. Safe here, as the guard has one
    thread only.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(child: subprocess.Popen[bytes], owner: int) -> int | None:
    """Return the child's exit status, or None as soon as the group has to be ended."""
    while not _stopping and os.getppid() == owner:
        try:
            return child.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
    return None


def _others_alive() -> bool:
    """Tell whether a process of our group besides ourselves is alive (a zombie is not)."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, group = stat.rsplit(")", 1)[1].split()[:3]
        if int(group) == os.getpgrp() and int(process.name) != os.getpid() and state != "Z":
            return True
    return False


def _end_group(child: subprocess.Popen[bytes], grace_s: float, directory: str) -> None:
    """SIGTERM to the group, SIGKILL (which includes ourselves) to what is left after `grace_s`
    seconds; the directory goes before.
    """
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        child.poll()
        if not _others_alive():
            break
        time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)
    if _others_alive():
        os.killpg(0, signal.SIGKILL)


def main(owner: int, directory: str, command: list[str]) -> int:
    """Run `command` until it ends or has to end. Returns its exit status, 128 + n for signal n."""
    signal.signal(signal.SIGTERM, _ask_to_stop)
    child = subprocess.Popen(command, preexec_fn=_end_with_guard)  # noqa: PLW1509 - one thread
    status = _wait(child, owner)
    if status is None:
        _end_group(child, GRACE_S, directory)
        return 0
    print(
        f"guard: the server ended {_how(status)}", file=sys.stderr, flush=True
    )  # goes to the server's log
    _end_group(child, ORPHAN_GRACE_S, directory)
    return status if status >= 0 else 128 - status


def _how(status: int) -> str:
    return f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
