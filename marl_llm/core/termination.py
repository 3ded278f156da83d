"""SIGTERM taken as Ctrl-C is, so that whoever stops a command (a cluster, systemd, `kill`) gets
what there is and leaves nothing behind.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def terminated_as_interrupted() -> Iterator[Callable[[], bool]]:
    """While the block runs SIGTERM interrupts it; yields a function that tells whether one came.

    Nothing changes outside the main thread, and where somebody else handles SIGTERM.
    """
    came = False
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield lambda: False
        return

    def interrupt(number: int, frame: object) -> None:
        nonlocal came
        came = True
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)  # the way that event loops know

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
