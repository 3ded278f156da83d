"""Messages between host and zygote: what a child may use, that it started, how it ended.

One packet each over a SOCK_SEQPACKET pair. The host's request carries the child's end of a private
socket, the zygote's first answer carries a pidfd of the child. The zygote never sees code, data or
predictions.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

READY = b"ready"
STARTED = b"started"
FIRST_DESCRIPTOR = 3
SETUP_FAILED = 99


class Grant(NamedTuple):
    """What one child may use: CPU seconds, bytes of address space and of data, processes and
    threads of its user.
    """

    cpu_s: int
    address_space: int
    data: int
    processes: int

    def pack(self) -> bytes:
        """The packet."""
        return GRANT.pack(*self)

    @classmethod
    def unpack(cls, packet: bytes) -> Grant:
        """The grant of a packet."""
        return cls(*GRANT.unpack(packet))


class Ended(NamedTuple):
    """How a child ended: wait status as of wait4, user and system seconds."""

    wait_status: int
    user_s: float
    system_s: float

    def pack(self) -> bytes:
        """The packet."""
        return ENDED.pack(*self)

    @classmethod
    def unpack(cls, packet: bytes) -> Ended:
        """The report of a packet."""
        return cls(*ENDED.unpack(packet))


GRANT = struct.Struct("<qqqq")
ENDED = struct.Struct("<qdd")
