"""Does the sandbox hold what it promises on this machine? Canaries try to get out, and each must
fail.

An evaluation is worth nothing where a canary gets through, so `Sandbox` runs this once per process
and refuses.
"""

from __future__ import annotations

import os
import socket
import tempfile
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.sandbox.conversation import Job
from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.results import Level, Limits, SandboxUnavailable, Status
from marl_llm.sandbox.slot import Slot, SlotLost

_LIMITS = Limits(wall_s=20.0, cpu_s=10, memory_bytes=1 << 30)
# Name and Python expression. Getting through means not raising. {path} and {port} are of this
# process.
_CANARIES = (
    ("read a file of the host", "open({path!r}).read()"),
    ("read /etc/passwd", "open('/etc/passwd').read()"),
    ("list processes", "[p for p in os.listdir('/proc') if p.isdigit()][0]"),
    ("write a file", "os.unlink(open('/tmp/canary', 'w').name)"),
    ("make a memory file", "os.memfd_create('canary')"),
    ("start a process", "os.fork() or os._exit(0)"),
    ("run a program", "subprocess.run(['/bin/true'])"),
    ("connect by TCP", "socket.create_connection(('127.0.0.1', {port}), 1)"),
    (
        "send by UDP",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    ),
    ("open a Unix socket", "socket.socket(socket.AF_UNIX)"),
    ("signal the zygote", "os.kill(os.getppid() or 1 / 0, 0)"),  # 0: it cannot be seen
    ("share memory", "1 / (libc.shmctl(libc.shmget(0, 4096, 0o1600), 0, None) + 1)"),
    (
        "lock a shared file",
        "fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    ),
    (
        "change limits of the zygote",
        "resource.prlimit(os.getppid() or 1 / 0, resource.RLIMIT_NOFILE)",
    ),
    ("read a public data set", "sklearn.datasets.load_iris()"),
)
_IMPORTS = """
import ctypes, fcntl, os, resource, socket, subprocess, sklearn.datasets
libc = ctypes.CDLL(None)
"""
_TRY_ALL = """
passed = ""
for canary in {canaries!r}:
    try:
        eval(canary)
        passed += "1"
    except Exception:
        passed += "0"
raise RuntimeError("canaries " + passed)
"""
_FORBIDDEN = "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)\n"
_HONEST = """
from sklearn.linear_model import LogisticRegression
def build_pipeline():
    return LogisticRegression()
"""


@dataclass(frozen=True)
class SelfTest:
    """What was checked. `checks` holds (name, passed, detail); `errors` what kept the test from
    running at all.
    """

    level: str
    ok: bool
    checks: tuple[tuple[str, bool, str], ...]
    errors: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        if self.ok:
            return f"the sandbox ({self.level}) passed {len(self.checks)} checks"
        holes = [f"{name} ({detail})" for name, passed, detail in self.checks if not passed]
        why = "; ".join([*self.errors, *holes])
        return f"the sandbox ({self.level}) is not safe on this machine, nothing is run: {why}"


def self_test(level: str = "bubblewrap") -> SelfTest:
    """Start one slot at the level and check it. Reports an unavailable sandbox instead of
    raising.
    """
    slot = None
    try:
        slot = Slot(Level(level), 0)
        slot.wait_ready()
        return check_slot(slot, Level(level))
    except SandboxUnavailable as error:
        return SelfTest(level, False, (), (str(error),))
    finally:
        if slot is not None:
            slot.close()


def check_slot(slot: Slot, level: Level) -> SelfTest:
    """Run the canaries and an honest candidate in a slot that is ready: three forks."""
    try:
        checks = (*_canaries(slot), _tripwire(slot), _honest(slot))
    except SlotLost as error:
        return SelfTest(level.value, False, (), (f"the slot was lost: {error}",))
    return SelfTest(level.value, all(passed for _, passed, _ in checks), checks, ())


def _canaries(slot: Slot) -> list[tuple[str, bool, str]]:
    with tempfile.NamedTemporaryFile() as secret, socket.create_server(("127.0.0.1", 0)) as server:
        os.fchmod(secret.fileno(), 0o644)
        values = {"path": secret.name, "port": server.getsockname()[1]}
        expressions = [expression.format(**values) for _, expression in _CANARIES]
        _, error = _try(slot, _IMPORTS + _TRY_ALL.format(canaries=expressions))
    passed = error.partition("canaries ")[2][: len(_CANARIES)]
    if len(passed) != len(_CANARIES):
        return [("canaries", False, f"did not run to the end: {error}")]
    return [
        (name, bit == "0", "stopped" if bit == "0" else "got through")
        for (name, _), bit in zip(_CANARIES, passed, strict=True)
    ]


def _tripwire(slot: Slot) -> tuple[str, bool, str]:
    status, error = _try(slot, _FORBIDDEN)
    return "trace a process", status is Status.tamper, error


def _honest(slot: Slot) -> tuple[str, bool, str]:
    status, error = _try(slot, _HONEST)
    return "honest code runs", status is Status.ok, error


def _try(slot: Slot, code: str) -> tuple[Status, str]:
    frame = pd.DataFrame(np.arange(20.0).reshape(10, 2), columns=["x0", "x1"])
    with Fold.prepare(frame, np.arange(10) % 2, frame, n_classes=2, seed=0) as fold:
        job = Job(code, "", 0, describe=False, probe=False)
        result = slot.run_fold(job, fold, _LIMITS)
    return result.status, result.error
