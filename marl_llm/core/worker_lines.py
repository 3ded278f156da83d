"""The line protocol of worker processes, both ends: a worker of ours tells its owner one JSON
object per line.

Every event has a name, `{"event": "step", ...}`; `{"event": "error", "message": ...}` says in one
sentence why the worker gives up. Exit codes: 0 done, 1 the run failed, 2 the user's mistake, 130
stopped. A worker ends when its standard input does, so that none outlives its owner; its own log is
its standard error.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from marl_llm.core.errors import UserError
from marl_llm.core.owner import STOPPED, stop_with_owner

Event = dict[str, object]
"""What one line says, by field."""


class Tell(Protocol):
    """Tells the owner of one event; the keywords are its fields."""

    def __call__(self, event: str, /, **fields: object) -> None:
        """Tell."""
        ...


def work(
    job: Callable[[Tell], None], *, owned: bool = True, end_after_s: float | None = None
) -> int:
    """Body of a worker process: do the job, and tell its owner on standard output.

    What a library prints meanwhile goes to standard error, so that nothing comes between the lines.

    Parameters
    ----------
    job : callable
        Given the function that tells.
    owned : bool
        End when standard input does.
    end_after_s : float, optional
        As in `stop_with_owner`.

    Returns
    -------
    int
        The exit code.
    """
    out = sys.stdout

    def tell(event: str, /, **fields: object) -> None:
        out.write(json.dumps({"event": event, **fields}) + "\n")
        out.flush()

    with contextlib.redirect_stdout(sys.stderr):
        try:
            if owned:
                stop_with_owner(end_after_s)
            job(tell)
        except UserError as error:
            tell("error", kind=type(error).__name__, message=str(error))
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        except KeyboardInterrupt:
            return STOPPED
    return 0


def follow(
    command: Sequence[str],
    log: Path,
    on_event: Callable[[Event], None],
    on_start: Callable[[subprocess.Popen[str]], None] = lambda process: None,
    *,
    own_session: bool = False,
) -> str:
    """Owner's end: run a worker until it is done.

    Parameters
    ----------
    command : sequence of str
    log : Path
        Its standard error is appended there.
    on_event : callable
        Told each event but errors.
    on_start : callable
        Given the process, for instance to end it from another thread: by closing its standard
        input, or by a signal.
    own_session : bool
        Ctrl-C of the terminal does not reach it.

    Returns
    -------
    str
        Why it failed, the first reason told; "" if it did not.
    """
    pipe, said = subprocess.PIPE, ""
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=errors,
            text=True,
            start_new_session=own_session,
        ) as worker,
    ):
        assert worker.stdout is not None
        try:
            on_start(worker)
            for line in worker.stdout:
                event = json.loads(line)
                if event["event"] == "error":
                    said = said or event["message"]
                else:
                    on_event(event)
            worker.wait()
        except BaseException:
            worker.terminate()
            raise
    if worker.returncode == 0:
        return ""
    return said or f"it ended with code {worker.returncode}"
