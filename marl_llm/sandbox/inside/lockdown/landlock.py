"""Landlock by three system calls: a process that may read below some folders and do nothing else to
files.

In: the paths that may be read and the paths below them that may not. Out: a ruleset descriptor,
made once by the zygote and applied by every child. With ABI 4 the ruleset also forbids TCP, with
ABI 6 signals to, and abstract sockets of, processes outside. Landlock only ever allows, so a folder
is hidden by allowing its neighbours one by one.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from .libc import LIBC, checked

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_RULE_PATH_BENEATH = 1
# How many file system rights each ABI knows: 2 added REFER, 3 TRUNCATE, 5 IOCTL_DEV.
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
_RIGHTS_NEWEST = 16
_ALL_NET = 0b11  # bind and connect TCP
_ALL_SCOPES = 0b11  # abstract Unix sockets, signals


def abi() -> int:
    """The kernel's Landlock ABI version; 0 where Landlock is missing or switched off."""
    return max(0, int(LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def create_ruleset(read: list[str], hidden: list[str], listed: list[str]) -> int:
    """Make a ruleset that lets a process read below `read`, except for the contents of files below
    `hidden`, and list the names below `listed`.

    Returns
    -------
    int
        The ruleset's descriptor, for `restrict_self`.

    Raises
    ------
    OSError
        EOPNOTSUPP where the kernel has no Landlock.
    """
    version = abi()
    if version < 1:
        raise OSError(errno.EOPNOTSUPP, "Landlock is not available in this kernel")
    ruleset = _empty_ruleset(version)
    covered = {Path(path) for path in hidden}
    for folder in filter(Path.is_dir, map(Path, (*read, *listed))):
        _allow(ruleset, folder, _READ_DIR)
    for root in filter(Path.exists, map(Path, read)):
        for path in _all_but(root, covered):
            _allow(ruleset, path, _READ_FILE)
    return ruleset


def restrict_self(ruleset: int) -> None:
    """Apply the ruleset to the calling thread and whatever it starts. Needs no_new_privs."""
    checked(LIBC.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), 0), "landlock_restrict_self")


def _empty_ruleset(version: int) -> int:
    rights = (1 << _RIGHTS_OF_ABI.get(version, _RIGHTS_NEWEST)) - 1
    handled = struct.pack(
        "QQQ", rights, _ALL_NET if version >= 4 else 0, _ALL_SCOPES if version >= 6 else 0
    )
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = ctypes.create_string_buffer(handled)
    result = LIBC.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    return checked(result, "landlock_create_ruleset")


def _allow(ruleset: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor))
        result = LIBC.syscall(_ADD_RULE, ctypes.c_int(ruleset), _RULE_PATH_BENEATH, rule, 0)
        checked(result, f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def _all_but(root: Path, hidden: set[Path]) -> Iterator[Path]:
    """The fewest paths that cover everything below `root` but `hidden`."""
    if root in hidden:
        return
    if not any(root in path.parents for path in hidden):
        yield root
        return
    for path in root.iterdir():
        if not path.is_symlink():
            yield from _all_but(path, hidden)
