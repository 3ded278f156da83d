"""Several processes of one phase, as `accelerate launch` starts them: all of them train, the first
one publishes.

Which process this is stands in torch.distributed's environment variables. With one process, the
usual case, all of this comes to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def is_first() -> bool:
    """Whether this is the process that writes files and reports; true of the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def is_alone() -> bool:
    """Whether there is no other process."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


def local_rank() -> int:
    """Number of this process on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def first_alone() -> Iterator[bool]:
    """Tells the first process to do what must be done once; all wait for each other before and
    after.

    Where it fails in the first process, the others fail at the second wait, when their launcher
    ends them.
    """
    from accelerate import PartialState

    state = PartialState()
    state.wait_for_everyone()
    yield is_first()
    state.wait_for_everyone()
