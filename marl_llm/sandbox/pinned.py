"""Files whose pages stay in memory, so that the time it takes to read them tells nothing.

A candidate that reads a page of a file brings it into the page cache, where the next candidate
finds it sooner than a page that nobody read. Hence every page of every visible file is brought in
before the first candidate runs. They are locked there where the user may lock as much
(RLIMIT_MEMLOCK; root may); otherwise `hold` looks again before each evaluation.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from marl_llm.sandbox.inside.lockdown.libc import LIBC

_PAGE = mmap.PAGESIZE
_POPULATE_READ = 22  # MADV_POPULATE_READ, Linux 5.14
_mmap = ctypes.CDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_FAILED = ctypes.c_void_p(-1).value


_LOOK_S = 1.0


class _Mapping(NamedTuple):
    address: int
    length: int
    told: bool  # the kernel tells only who could write to the file which pages are in memory


class Pinned:
    """Bring files into memory and keep them there while this object lives.

    Attributes
    ----------
    locked : bool
        Whether the kernel promised to keep them.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._mappings = [found for file in files if (found := _map(file)) is not None]
        self.locked = all(
            LIBC.mlock(ctypes.c_void_p(one.address), ctypes.c_size_t(one.length)) == 0
            for one in self._mappings
        )
        self._looked = -_LOOK_S
        if not self.locked:
            self.hold()

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(one.length for one in self._mappings)

    def missing(self) -> int:
        """Pages that are not in memory."""
        return sum(_pages(one) - _resident(one) for one in self._mappings)

    def hold(self) -> None:
        """Bring back what the kernel took away, unless the pages are locked or this was done within
        the last second.
        """
        if self.locked or time.monotonic() - self._looked < _LOOK_S:
            return
        for one in self._mappings:
            if not one.told or _resident(one) < _pages(one):
                _read(one)
        self._looked = time.monotonic()

    def close(self) -> None:
        """Let go of the files."""
        for one in self._mappings:
            LIBC.munmap(ctypes.c_void_p(one.address), ctypes.c_size_t(one.length))
        self._mappings = []

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def _map(file: Path) -> _Mapping | None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    told = os.access(file, os.W_OK)
    try:
        length = os.fstat(descriptor).st_size
        if not length:
            return None
        address = _mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if address in (None, _FAILED):
            raise OSError(ctypes.get_errno(), f"mmap {file}")
        return _Mapping(address, length, told)
    finally:
        os.close(descriptor)


def _pages(mapping: _Mapping) -> int:
    return -(-mapping.length // _PAGE)


def _resident(mapping: _Mapping) -> int:
    found = ctypes.create_string_buffer(_pages(mapping))
    LIBC.mincore(ctypes.c_void_p(mapping.address), ctypes.c_size_t(mapping.length), found)
    return len(found) - found.raw.count(b"\0")


def _read(mapping: _Mapping) -> None:
    address = ctypes.c_void_p(mapping.address)
    if LIBC.madvise(address, ctypes.c_size_t(mapping.length), _POPULATE_READ) == 0:
        return
    content = (ctypes.c_char * mapping.length).from_address(mapping.address)
    for start in range(0, mapping.length, _PAGE):
        _ = content[start]
