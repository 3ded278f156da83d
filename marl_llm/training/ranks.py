"""Several processes of one phase, as `accelerate launch` starts them: all of them train, the first one publishes.

With one process, the usual case, all of this comes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def is_first() -> bool:
    """Whether this is the process that writes files and reports; true of the only one."""
    from accelerate import PartialState

    return PartialState().is_main_process


@contextmanager
def first_alone() -> Iterator[bool]:
    """Tells the first process to do what must be done once; all wait for each other before and after.

    Where it fails in the first process, the others fail at the second wait, when their launcher ends them.
    """
    from accelerate import PartialState

    state = PartialState()
    state.wait_for_everyone()
    yield state.is_main_process
    state.wait_for_everyone()
