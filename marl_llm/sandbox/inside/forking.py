"""How the zygote forks: each child as process 1 of a process namespace of its own where the kernel
allows it.

In the zygote's own namespace process ids count up, so that a child could tell the next one
something by how many threads it starts. In one of its own every child is process 1, its threads are
2, 3, ..., and it sees neither the zygote nor anything else that it could signal. What it leaves
behind ends with it.

The namespace is made by the `clone` system call, since `unshare` would need a process in between
for each child; hence what `os.fork` does for Python is done here.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Callable

from .lockdown import libc

_CLONE_NEWPID, _CLONE_CHILD_SETTID, _CLONE_CHILD_CLEARTID = 0x20000000, 0x01000000, 0x00200000
_FLAGS = _CLONE_NEWPID | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID | signal.SIGCHLD
_NUMBERS = {"x86_64": 56, "aarch64": 220}
_python = ctypes.pythonapi  # keeps the interpreter lock, as a fork must
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def best() -> Callable[[], int]:
    """`fork_into_namespace` if it works here, else `os.fork`."""
    try:
        process = fork_into_namespace()
    except OSError:
        return os.fork
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    return fork_into_namespace


def fork_into_namespace() -> int:
    """`os.fork` into a new process namespace.

    Raises
    ------
    OSError
        Without CAP_SYS_ADMIN, or on a machine whose `clone` is not known here.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(f"no number of clone for {platform.machine()}")
    thread = _address_of_thread_id()
    # The order of the last two differs between machines: both are the C library's thread id, which
    # the kernel writes for the child, or nothing that is used.
    _python.PyOS_BeforeFork()
    process = _libc.syscall(
        ctypes.c_long(number), ctypes.c_ulong(_FLAGS), None, None, thread, thread
    )
    if process == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    _python.PyOS_AfterFork_Parent()
    if process < 0:
        raise OSError(error, f"clone: {os.strerror(error)}")
    return int(process)


def _address_of_thread_id() -> ctypes.c_void_p:
    address = ctypes.c_void_p()
    libc.prctl(libc.PR_GET_TID_ADDRESS, ctypes.cast(ctypes.byref(address), ctypes.c_void_p))
    return address
