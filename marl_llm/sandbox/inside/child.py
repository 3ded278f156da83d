"""The child of one job: locks itself down, then fits a candidate on one fold and answers with raw
predictions, or runs a snippet and answers with text.

Of a fold it holds the training rows with their labels, and from the moment the host has seen FITTED
the validation features. It never holds validation labels.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import random
import socket
import sys
from typing import Any, NamedTuple

from . import block, candidate, frames, snippet
from .control import FIRST_DESCRIPTOR, SETUP_FAILED, Grant
from .lockdown import capabilities, landlock, rlimits, seccomp

_OUT_OF_THE_WAY = 100
_DESCRIPTORS = 1 << 10


class Lockdown(NamedTuple):
    """What the zygote prepared for its children. None: that part is off (isolation level
    "none").
    """

    ruleset: int | None
    program: bytes | None


class _Discard(io.TextIOBase):
    """Standard output of a candidate: accepted and forgotten."""

    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


def run(private: int, grant: Grant, lockdown: Lockdown) -> None:
    """Be the child. Never returns: exits with 0, or with 99 when it could not be locked down."""
    status = SETUP_FAILED
    try:
        sock = _lock_down(private, grant, lockdown)
        status = 0
        _serve(sock)
    finally:
        os._exit(status)


def _lock_down(private: int, grant: Grant, lockdown: Lockdown) -> socket.socket:
    """Keep one descriptor, then give up every right. The socket object must exist before
    seccomp.
    """
    ruleset = _moved(lockdown.ruleset)
    os.dup2(_moved(private), FIRST_DESCRIPTOR)
    os.closerange(FIRST_DESCRIPTOR + 1, _OUT_OF_THE_WAY)
    sock = socket.socket(fileno=FIRST_DESCRIPTOR)
    if lockdown.program is not None:
        capabilities.keep_only()
    rlimits.limit_use(grant)
    if lockdown.ruleset is not None:
        landlock.restrict_self(ruleset)
    os.closerange(_OUT_OF_THE_WAY, _DESCRIPTORS)
    if lockdown.program is not None:
        rlimits.limit_reach(grant)
        seccomp.install(seccomp.for_process(lockdown.program, os.getpid()))
    sock.setblocking(True)
    return sock


def _moved(descriptor: int | None) -> int:
    return (
        -1
        if descriptor is None
        else fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
    )


def _serve(sock: socket.socket) -> None:
    sys.stdout = sys.stderr = _Discard()
    try:
        _converse(sock)
    except frames.HangUp:
        return
    # Untrusted code may raise anything, SystemExit and KeyboardInterrupt included.
    except BaseException as error:
        frames.send(sock, frames.FAILED, _report(error))


def _report(error: BaseException) -> bytes:
    try:
        return candidate.report_failure(error)
    # The exception's own __str__ may raise anything.
    except BaseException:
        unreadable = RuntimeError("an exception was raised whose message raises another one")
        return candidate.report_failure(unreadable.with_traceback(error.__traceback__))


def _converse(sock: socket.socket) -> None:
    message = frames.receive(sock)
    job: dict[str, Any] = json.loads(message.payload)
    features, target = block.decode(message.descriptors[0], block.Layout(**job["layout"]))
    if "snippet" in job:
        _seed(job["seed"])
        frames.send(sock, frames.TEXT, snippet.run(job["snippet"], features, job["characters"]))
        return
    build = candidate.load(job["prelude"], job["code"])
    frames.send(sock, frames.PARSED)
    _seed(job["seed"])
    estimator = build()
    frames.send(sock, frames.BUILT, candidate.describe(estimator) if job["describe"] else b"")
    estimator.fit(features, target)
    frames.send(sock, frames.FITTED)
    while True:
        message = frames.receive(sock)
        rows, _ = block.decode(message.descriptors[0], block.Layout(**json.loads(message.payload)))
        frames.send(sock, frames.PREDICTED, candidate.predict(estimator, rows, job["classes"]))


def _seed(seed: int) -> None:
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
