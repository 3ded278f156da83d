"""Capabilities of the calling thread, by the system call."""

from __future__ import annotations

import ctypes
import struct

from .libc import LIBC, checked

SYS_ADMIN = 21
_VERSION = 0x20080522
_EMPTY = struct.pack("6I", *[0] * 6)


def keep_only(number: int | None = None) -> None:
    """Give up all capabilities for good, but for one, if it is there."""
    kept = 0 if number is None else (1 << number) & _permitted()
    low, high = kept & 0xFFFFFFFF, kept >> 32
    _set(struct.pack("6I", low, low, 0, high, high, 0))


def _permitted() -> int:
    header, data = _header(), ctypes.create_string_buffer(_EMPTY, len(_EMPTY))
    checked(LIBC.capget(header, data), "capget")
    words = struct.unpack("6I", data.raw)
    return words[1] | words[4] << 32


def _set(data: bytes) -> None:
    checked(LIBC.capset(_header(), ctypes.create_string_buffer(data, len(data))), "capset")


def _header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("Ii", _VERSION, 0), 8)
