"""What a process that a test starts does on Ctrl-C. A suite that a shell runs in the background
ignores SIGINT, and so do its children; a test that interrupts one says so itself.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """This process raises KeyboardInterrupt, as in a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def heeding_ctrl_c() -> None:
    """As in a terminal. Pass it as `preexec_fn`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ignoring_ctrl_c() -> None:
    """As a shell without job control starts a process with `&`. Pass it as `preexec_fn`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
