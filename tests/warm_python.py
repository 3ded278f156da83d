"""Python that starts with PyTorch, transformers, PEFT and TRL imported, as forks of one process:
for tests that start several training processes, each of which would import them for seconds.

`warm_python()` is a command, to stand in the place of `sys.executable` before `-m MODULE ...` or
`SCRIPT ...`. What it starts has the caller's environment, directory and standard streams, ends when
the command is killed, and returns its exit code. That training starts from cold as well is tested
in tests/algorithms/test_worker.py and tests/pipeline/test_warm_start.py.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REQUEST_BYTES = 1 << 20


@functools.cache
def warm_python() -> list[str]:
    """The command; the process that it forks from ends with this one."""
    folder = tempfile.TemporaryDirectory(prefix="warm-python-")
    address = str(Path(folder.name) / "socket")
    server = subprocess.Popen(
        [sys.executable, __file__, "serve", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    _kept.extend((folder, server))
    return [sys.executable, "-I", "-S", __file__, "run", address]


_kept: list[object] = []


@contextmanager
def warm_trainers() -> Iterator[None]:
    """`run_trainer` starts its trainers warm meanwhile."""
    import pytest

    from marl_llm.workspace import trainers

    follow = trainers.follow

    def warm(command: list[str], *more, **named) -> str:
        return follow([*warm_python(), *command[1:]], *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainers, "follow", warm)
        yield


def _run(address: str, arguments: list[str]) -> int:
    """The command: hand everything over, wait for the exit code."""
    here = {"environment": dict(os.environ), "directory": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(here | {"arguments": arguments}).encode()], [0, 1, 2])
        return int(server.recv(16) or b"1")


def _serve(address: str) -> None:
    """Import, then fork for each request, until standard input ends."""
    import marl_llm.training.policy_phase
    import marl_llm.training.train_role
    import marl_llm.training.trl_adapter  # noqa: F401

    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(address)
    listening.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those who wait for a child are not this process
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        ready, _, _ = select.select([listening, 0], [], [])
        if 0 in ready:
            return
        client, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(client)
        client.close()


def _watch(client: socket.socket) -> None:
    """Fork the program; tell the client its exit code, or end it when the client is gone."""
    packet, streams, _, _ = socket.recv_fds(client, _REQUEST_BYTES, 3)
    program = os.fork()
    if program == 0:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _become(json.loads(packet))
    for stream in (*streams, 0, 1, 2):
        os.close(stream)
    ended = os.pidfd_open(program)
    ready, _, _ = select.select([client, ended], [], [])
    if client in ready:
        os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    if client not in ready:
        client.send(str(os.waitstatus_to_exitcode(status) % 256).encode())
    os._exit(0)


def _become(request: dict) -> None:
    """Run the program as `python ARGUMENTS` would. Never returns."""
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    arguments, code = request["arguments"], 0
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    else:
        sys.exit(_run(sys.argv[2], sys.argv[3:]))
