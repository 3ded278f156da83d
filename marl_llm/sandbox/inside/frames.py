"""Frames between host and child: one byte of kind, four bytes of length, the payload; descriptors
ride on the header.

The order of one fold, child to the right:
JOB ->, <- PARSED, <- BUILT, <- FITTED, then for each block of rows ROWS ->, <- PREDICTED. The child
may send FAILED instead of its next frame and then is done. A snippet takes one exchange: JOB ->, <-
TEXT. `receive` is for the child only: the host reads with a deadline, expects one kind of frame at
a time, and takes no descriptors (marl_llm/sandbox/conversation.py).
"""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

HEADER = struct.Struct("<cI")
JOB, PARSED, BUILT, FITTED, ROWS, PREDICTED, FAILED = b"J", b"C", b"B", b"F", b"V", b"P", b"E"
TEXT = b"T"
TEXT_BYTES = 64 << 10  # the most that a BUILT or FAILED frame may hold
_MAX_DESCRIPTORS = 1


class Frame(NamedTuple):
    """One received frame."""

    kind: bytes
    payload: bytes
    descriptors: list[int]


class HangUp(Exception):
    """The other side closed the connection."""


def send(
    sock: socket.socket, kind: bytes, payload: bytes = b"", descriptors: Sequence[int] = ()
) -> None:
    """Send one frame."""
    header = HEADER.pack(kind, len(payload))
    if descriptors:
        socket.send_fds(sock, [header], descriptors)
        sock.sendall(payload)
    else:
        sock.sendall(header + payload)


def receive(sock: socket.socket) -> Frame:
    """Wait for one frame, without a deadline.

    Raises
    ------
    HangUp
        When the connection is closed.
    """
    room = array.array("i").itemsize * _MAX_DESCRIPTORS
    data, ancillary, _, _ = sock.recvmsg(HEADER.size, socket.CMSG_LEN(room))
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    header = data + (_exactly(sock, HEADER.size - len(data)) if data else b"")
    if not header:
        raise HangUp
    kind, length = HEADER.unpack(header)
    return Frame(kind, _exactly(sock, length), list(descriptors))


def _exactly(sock: socket.socket, length: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        piece = sock.recv(length - len(content))
        if not piece:
            raise HangUp
        content += piece
    return bytes(content)
