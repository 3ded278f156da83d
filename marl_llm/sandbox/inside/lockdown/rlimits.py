"""Resource limits of one child. Memory that RLIMIT_AS cannot see (files, pipes, shared memory) is
cut off elsewhere.
"""

from __future__ import annotations

import resource

from ..control import Grant

_STACK_BYTES = 8 << 20
_OPEN_FILES = 64
# No file can grow, no core dump, no locked memory, no message queue.
_FORBIDDEN = (
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_CORE,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_MSGQUEUE,
)


def limit_use(grant: Grant) -> None:
    """Limit CPU seconds (SIGXCPU, one second later SIGKILL) and memory (MemoryError)."""
    _set(resource.RLIMIT_CPU, grant.cpu_s, grant.cpu_s + 1)
    _set(resource.RLIMIT_AS, grant.address_space)
    _set(resource.RLIMIT_DATA, grant.data)
    _set(resource.RLIMIT_STACK, _STACK_BYTES)


def limit_reach(grant: Grant) -> None:
    """Forbid growing files and core dumps, and limit descriptors and threads."""
    for kind in _FORBIDDEN:
        _set(kind, 0)
    _set(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _set(resource.RLIMIT_NPROC, grant.processes)


def _set(kind: int, soft: int, hard: int | None = None) -> None:
    ceiling = resource.getrlimit(kind)[1]
    wanted = soft if hard is None else hard
    hard_limit = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
    resource.setrlimit(kind, (min(soft, hard_limit), hard_limit))
