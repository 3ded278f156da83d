"""One zygote process and the conversation with its children: a place where one fold or one snippet
at a time is run.

A slot holds no data in between. When anything about it is in doubt (a protocol error of the zygote,
an interrupt in the middle) it is closed, and the pool starts another one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from marl_llm.core.cpu_time import tree_cpu_seconds
from marl_llm.core.predictions import Predictions
from marl_llm.sandbox import launch
from marl_llm.sandbox.conversation import Conversation, Failed, Job, Vanished
from marl_llm.sandbox.encode import Block
from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.inside import control
from marl_llm.sandbox.results import Level, Limits, SandboxUnavailable, Stage, Status
from marl_llm.sandbox.snippets import SnippetJob, SnippetResult

_START_S = 120.0  # imports on a slow, busy machine
_ANSWER_S = 30.0
_CREDENTIALS = struct.Struct("3i")  # process, user, group
_Answer = TypeVar("_Answer")


class SlotLost(Exception):
    """The zygote is gone or does not follow the protocol. The fold has no result."""


@dataclass(frozen=True)
class FoldResult:
    """The outcome of one fold. `predictions` are in the secret order; None unless the status is
    ok.
    """

    status: Status
    stage: Stage
    predictions: Predictions | None
    error: str
    description: dict[str, object] | None
    cpu_seconds: float


class Slot:
    """One zygote. Construct it in a thread that lives as long as the slot: the kernel ends it with
    that thread.
    """

    def __init__(self, level: Level, index: int, packages: tuple[str, ...] = ()) -> None:
        self._level = level
        self._host, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inner:
            arguments, environment = launch.command(level, inner.fileno(), index, packages)
            self._host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._process = subprocess.Popen(
                arguments,
                env=environment,
                cwd="/",
                pass_fds=[inner.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self._zygote: int | None = None  # a pidfd
        self._closing = threading.Lock()
        self._address_space = self._data = 0
        self.startup_cpu_s = 0.0

    def wait_ready(self) -> None:
        """Wait for the warm imports.

        Raises
        ------
        SandboxUnavailable
            When the zygote does not start; the message holds its last words.
        SlotLost
            When it ended on the way without a word, as what is killed does.
        """
        self._host.settimeout(_START_S)
        try:
            room = socket.CMSG_SPACE(_CREDENTIALS.size)
            packet, ancillary, _, _ = self._host.recvmsg(len(control.READY), room)
        except TimeoutError:
            raise SandboxUnavailable(self._why_not(f"no answer in {_START_S:.0f} s")) from None
        except ConnectionError:
            packet, ancillary = b"", []
        if packet != control.READY:
            why = self._why_not("")
            raise SandboxUnavailable(why) if why else SlotLost("the zygote ended as it started")
        self._host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        # The kernel wrote the sender's credentials, with the process id as it is outside the
        # sandbox.
        process = _CREDENTIALS.unpack(ancillary[0][2][: _CREDENTIALS.size])[0]
        self._zygote = os.pidfd_open(process)
        self._measure(process)
        self.startup_cpu_s = tree_cpu_seconds(self._process.pid)
        _close(self._process.stderr)

    @property
    def alive(self) -> bool:
        """Whether the zygote is there to fork."""
        if self._zygote is None or self._process.poll() is not None:
            return False
        return not select.select([self._zygote], [], [], 0)[0]

    def run_fold(self, job: Job, fold: Fold, limits: Limits) -> FoldResult:
        """Evaluate one fold in a fresh child.

        Raises
        ------
        SlotLost
            When the zygote failed, not the candidate.
        """
        outcome, said, cpu = self._converse(
            lambda conversation: conversation.run(job, fold), limits
        )
        if isinstance(outcome, Failed):
            return FoldResult(
                outcome.status, said.stage, None, outcome.error, said.description, cpu
            )
        return FoldResult(Status.ok, said.stage, outcome, "", said.description, cpu)

    def run_snippet(self, job: SnippetJob, rows: Block, limits: Limits) -> SnippetResult:
        """Run one snippet in a fresh child. Raises as `run_fold` does."""
        start = time.perf_counter()
        outcome, _, _ = self._converse(lambda conversation: conversation.ask(job, rows), limits)
        seconds = time.perf_counter() - start
        if isinstance(outcome, Failed):
            return SnippetResult(outcome.status, "", outcome.error, seconds)
        return SnippetResult(Status.ok, outcome, "", seconds)

    def close(self) -> None:
        """Kill the zygote and with it every process of the slot. Safe to call twice, and from
        another thread.
        """
        with self._closing:
            if self._zygote is not None:
                _kill(self._zygote)
                self._zygote = None
            self._process.kill()
            self._process.wait()
            _close(self._process.stderr)
            with contextlib.suppress(OSError):
                self._host.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
            self._host.close()

    def _converse(
        self, exchange: Callable[[Conversation], _Answer], limits: Limits
    ) -> tuple[_Answer | Failed, Conversation, float]:
        """Fork a child, talk to it, kill it; returns the answer or why there is none, and CPU
        seconds.
        """
        deadline = time.monotonic() + limits.wall_s
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with mine:
            child = self._fork(theirs, limits)
            conversation = Conversation(mine, deadline)
            try:
                outcome = _attempt(conversation, exchange)
            finally:
                _kill(child)
        ended = self._ended()
        cpu = ended.user_s + ended.system_s
        if isinstance(outcome, Vanished):
            outcome = _post_mortem(ended.wait_status, cpu, limits)
        return outcome, conversation, cpu

    def _fork(self, private: socket.socket, limits: Limits) -> int:
        """Ask for a child that owns `private`; returns its pidfd."""
        grant = control.Grant(
            cpu_s=limits.cpu_s,
            address_space=self._address_space + limits.memory_bytes,
            data=self._data + limits.memory_bytes,
            processes=limits.threads,
        )
        with private:
            try:
                self._host.settimeout(_ANSWER_S)
                socket.send_fds(self._host, [grant.pack()], [private.fileno()])
                packet, descriptors, _, _ = socket.recv_fds(self._host, len(control.STARTED), 1)
            except (OSError, TimeoutError) as error:
                raise SlotLost(str(error)) from None
        if packet != control.STARTED or not descriptors:
            raise SlotLost("the zygote did not start a child")
        return descriptors[0]

    def _ended(self) -> control.Ended:
        try:
            self._host.settimeout(_ANSWER_S)
            packet = self._host.recv(control.ENDED.size)
        except (OSError, TimeoutError) as error:
            raise SlotLost(str(error)) from None
        if len(packet) != control.ENDED.size:
            raise SlotLost("the zygote did not report the end of its child")
        return control.Ended.unpack(packet)

    def _measure(self, process: int) -> None:
        """Read the zygote's size, which the limits of its children come on top of, and make sure
        that it can fork.
        """
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        threads = int(
            status["Threads"]
        )  # a fork copies one thread only; locks of the others would stay locked
        if threads != 1:
            raise SandboxUnavailable(
                f"a package started {threads - 1} threads at import, so the sandbox cannot fork"
            )
        self._address_space, self._data = (
            int(status[name].split()[0]) << 10 for name in ("VmSize", "VmData")
        )

    def _why_not(self, otherwise: str) -> str:
        """The zygote's last words, or these, explained; "" where there are none."""
        words = _available(self._process.stderr).strip().splitlines()
        last = words[-1] if words else otherwise
        return launch.explain(self._level, last) if last else ""


def _attempt(
    conversation: Conversation, exchange: Callable[[Conversation], _Answer]
) -> _Answer | Failed | Vanished:
    try:
        return exchange(conversation)
    except (Failed, Vanished) as failure:
        return failure


def _post_mortem(wait_status: int, cpu: float, limits: Limits) -> Failed:
    """Why a child went away without a word."""
    if not os.WIFSIGNALED(wait_status):
        code = os.waitstatus_to_exitcode(wait_status)
        return Failed(Status.died, f"the process ended without a result (exit status {code})")
    number = os.WTERMSIG(wait_status)
    if number == signal.SIGSYS:
        return Failed(Status.tamper, "the code made a forbidden system call")
    if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu >= limits.cpu_s):
        return Failed(Status.cpu_limit, f"the limit of {limits.cpu_s} CPU seconds was reached")
    if number == signal.SIGKILL:
        return Failed(Status.memory, "the kernel killed the process, probably for lack of memory")
    return Failed(Status.died, f"the process was ended by {signal.Signals(number).name}")


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _available(stream: IO[bytes] | None) -> str:
    """What was written to a pipe so far."""
    if stream is None:
        return ""
    os.set_blocking(stream.fileno(), False)
    return (stream.read() or b"").decode(errors="replace")


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()
