"""The seccomp program, run by a small interpreter for each architecture, and the paths that
Landlock is given.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from marl_llm.sandbox.inside.lockdown import landlock, seccomp
from marl_llm.sandbox.inside.lockdown.syscalls import ARCHITECTURES, Architecture

OWN = 1234
DENIED = seccomp.fail_with(errno.EPERM)
Call = Callable[..., int]


def interpret(program: bytes, number: int, arguments: tuple[int, ...], audit: int) -> int:
    """What the kernel would decide: classic BPF with the operations that our filters use."""
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *(arguments + (0,) * 6)[:6])
    operations = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = operations[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            at += if_true if holds else if_false


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


@pytest.fixture
def call(architecture: Architecture) -> Call:
    """Decide about a system call by name."""
    program = seccomp.for_process(seccomp.assemble(architecture), OWN)

    def decide(name: str, *arguments: int) -> int:
        return interpret(program, architecture.numbers[name], arguments, architecture.audit)

    return decide


def test_reading_files_is_allowed_and_writing_is_not(call: Call) -> None:
    assert call("openat", 0, 0, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY) == seccomp.ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND, os.O_TMPFILE):
        assert call("openat", 0, 0, flags) == DENIED


def test_threads_are_allowed_and_processes_are_not(call: Call) -> None:
    assert call("clone", 0x00010000 | 0x100) == seccomp.ALLOW
    assert call("clone", 17) == DENIED
    assert call("clone3") == seccomp.fail_with(errno.ENOSYS)


def test_only_the_own_process_is_within_reach(call: Call) -> None:
    for name in ("kill", "tgkill"):
        assert call(name, OWN) == seccomp.ALLOW
        for other in (1, OWN + 1, 0, 0xFFFFFFFF):
            assert call(name, other) == DENIED
    assert call("prlimit64", 0) == seccomp.ALLOW
    assert call("prlimit64", 1) == DENIED


def test_private_futexes_wake_and_shared_ones_do_not(call: Call) -> None:
    assert call("futex", 0, 129) == seccomp.ALLOW
    assert call("futex", 0, 1) == DENIED


def test_locks_and_addresses_are_denied(call: Call) -> None:
    assert call("fcntl", 0, 3) == seccomp.ALLOW
    assert call("fcntl", 0, 6) == DENIED  # F_SETLK
    assert call("sendto", 3, 0, 1, 0, 0) == seccomp.ALLOW
    assert call("sendto", 3, 0, 1, 0, 0x7FFF0000) == DENIED


def test_forbidden_calls_kill_and_unknown_ones_fail(call: Call, architecture: Architecture) -> None:
    assert call("ptrace") == call("mount") == call("bpf") == seccomp.KILL
    program = seccomp.assemble(architecture)
    assert interpret(program, 999, (), architecture.audit) == DENIED
    assert (
        interpret(program, architecture.numbers["read"], (), 0x40000003) == seccomp.KILL
    )  # i386 numbers
    if architecture.first_foreign is not None:
        assert (
            interpret(program, architecture.first_foreign, (), architecture.audit) == seccomp.KILL
        )


def test_landlock_allows_the_neighbours_of_what_is_hidden(tmp_path: Path) -> None:
    for name in ("lib/sklearn/data", "lib/sklearn/svm", "lib/numpy", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lib" / "link").symlink_to(tmp_path / "lib/sklearn/data")
    allowed = {
        str(p.relative_to(tmp_path))
        for p in landlock._all_but(tmp_path, {tmp_path / "lib/sklearn/data"})
    }
    assert allowed == {"lib/sklearn/svm", "lib/numpy", "bin"}
