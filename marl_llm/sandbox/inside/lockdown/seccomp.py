"""A seccomp allow-list as classic BPF, assembled here and installed by prctl.

In: an architecture and the process id that may receive signals. Out: the filter's bytes. Threads
are allowed, processes are not; files open for reading only; no sockets, no locks, no shared
futexes, no other process by id. The program is assembled once; a child only writes its own process
id into it.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

from .libc import PR_SET_SECCOMP, prctl
from .syscalls import ARCHITECTURES, FREE, TRIPWIRES, UNREADABLE, Architecture

ALLOW = 0x7FFF0000
KILL = 0x80000000
_SECCOMP_MODE_FILTER = 2
_OWN_PID = 0x5EC0FFEE  # stands for the child's process id until `for_process`

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_OFFSET_NUMBER, _OFFSET_AUDIT, _OFFSET_ARGUMENTS = 0, 4, 16

_O_TMPFILE_BIT = 0o20000000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | _O_TMPFILE_BIT
_CLONE_THREAD = 0x00010000
_FCNTL = (
    0,
    1,
    2,
    3,
    4,
    1030,
)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: no locks, leases, seals
_IOCTL = (
    0x5401,
    0x5450,
    0x5451,
    0x5421,
    0x541B,
    0x5413,
)  # TCGETS FIONCLEX FIOCLEX FIONBIO FIONREAD TIOCGWINSZ
# Wait and private wake, requeue and priority-inheritance calls. A shared wake would signal other
# processes.
_FUTEX = (0, 9, 128, 129, 137, 138, 131, 132, 133, 6, 7, 134, 135, 139, 140)
_FUTEX_COMMAND_MASK = 0xFF
# Advice about own memory. Not what moves pages of files out (20, 21) or in (3, 22, 23), and not 12,
# by which the kernel merges equal pages of all processes: the next child could tell by the time.
_MADVISE = (0, 1, 2, 4, 8, 10, 11, 13, 14, 15, 16, 17)
_PRCTL = (15, 0x53564D41)  # PR_SET_NAME, PR_SET_VMA


class _Op(NamedTuple):
    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    def pack(self) -> bytes:
        return struct.pack("HBBI", self.code, self.if_true, self.if_false, self.value & 0xFFFFFFFF)


class _SockFprog(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def fail_with(number: int) -> int:
    """The filter's verdict "fail with this errno"."""
    return 0x00050000 | number


def assemble(architecture: Architecture | None = None) -> bytes:
    """The filter for an architecture (default: this machine's), with a placeholder for the process
    id.

    Raises
    ------
    OSError
        EOPNOTSUPP where there is no table of system calls for this machine.
    """
    arch = architecture or ARCHITECTURES.get(platform.machine())
    if arch is None:
        raise OSError(errno.EOPNOTSUPP, f"no table of system calls for {platform.machine()}")
    program = [_Op(_LOAD, _OFFSET_AUDIT), _Op(_JUMP_EQUAL, arch.audit, 1, 0), _Op(_RETURN, KILL)]
    program.append(_Op(_LOAD, _OFFSET_NUMBER))
    if arch.first_foreign is not None:
        program += [_Op(_JUMP_AT_LEAST, arch.first_foreign, 0, 1), _Op(_RETURN, KILL)]
    for names, verdict in ((FREE, ALLOW), (TRIPWIRES, KILL), (UNREADABLE, fail_with(errno.ENOSYS))):
        for name in names:
            program += _rule(arch, name, [_Op(_RETURN, verdict)])
    for name, body in _argument_rules().items():
        program += _rule(arch, name, body)
    program.append(_Op(_RETURN, fail_with(errno.EPERM)))
    return b"".join(op.pack() for op in program)


def for_process(program: bytes, process: int) -> bytes:
    """The assembled program with the process id filled in."""
    return program.replace(struct.pack("I", _OWN_PID), struct.pack("I", process))


def install(program: bytes) -> None:
    """Put the calling thread, and whatever it starts, under the filter. Needs no_new_privs."""
    code = ctypes.create_string_buffer(program, len(program))
    description = _SockFprog(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    prctl(
        PR_SET_SECCOMP,
        _SECCOMP_MODE_FILTER,
        ctypes.cast(ctypes.byref(description), ctypes.c_void_p),
    )


def _rule(arch: Architecture, name: str, body: list[_Op]) -> list[_Op]:
    """`if number == name: body`, nothing where the architecture has no such call. The body must
    return.
    """
    if name not in arch.numbers:
        return []
    return [_Op(_JUMP_EQUAL, arch.numbers[name], 0, len(body)), *body]


def _argument_rules() -> dict[str, list[_Op]]:
    return {
        "openat": _without_bits(2, _WRITING & ~os.O_DIRECTORY),
        "open": _without_bits(1, _WRITING & ~os.O_DIRECTORY),
        "clone": [_argument(0), _Op(_JUMP_SET, _CLONE_THREAD, 0, 1), _yes(), _no()],
        "kill": _one_of(0, (_OWN_PID,)),
        "tgkill": _one_of(0, (_OWN_PID,)),
        "prlimit64": _one_of(0, (0,)),
        "fcntl": _one_of(1, _FCNTL),
        "ioctl": _one_of(1, _IOCTL),
        "futex": _one_of(1, _FUTEX, mask=_FUTEX_COMMAND_MASK),
        "sendto": _one_of(4, (0,)),  # no address: the connected socket only
        "madvise": _one_of(2, _MADVISE),
        "prctl": _one_of(0, _PRCTL),
    }


def _one_of(index: int, values: tuple[int, ...], mask: int | None = None) -> list[_Op]:
    masked = [] if mask is None else [_Op(_AND, mask)]
    tests = [op for value in values for op in (_Op(_JUMP_EQUAL, value, 0, 1), _yes())]
    return [_argument(index), *masked, *tests, _no()]


def _without_bits(index: int, bits: int) -> list[_Op]:
    return [_argument(index), _Op(_JUMP_SET, bits, 0, 1), _no(), _yes()]


def _argument(index: int) -> _Op:
    return _Op(_LOAD, _OFFSET_ARGUMENTS + 8 * index)  # the low 32 bits on a little-endian machine


def _yes() -> _Op:
    return _Op(_RETURN, ALLOW)


def _no() -> _Op:
    return _Op(_RETURN, fail_with(errno.EPERM))
