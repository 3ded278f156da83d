"""The two C calls that Python does not offer: `syscall` by number and `prctl`. Failures become
OSError.
"""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_TID_ADDRESS = 40


def checked(result: int, what: str) -> int:
    """Return `result`, or raise the OSError that errno names when it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(result)


def prctl(
    option: int, value: int | ctypes.c_void_p = 0, pointer: ctypes.c_void_p | None = None
) -> None:
    """`prctl(option, value, pointer, 0, 0)`."""
    zero = ctypes.c_ulong(0)
    first = ctypes.c_ulong(value) if isinstance(value, int) else value
    checked(LIBC.prctl(option, first, pointer or zero, zero, zero), f"prctl({option})")
