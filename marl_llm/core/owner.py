"""Ending with one's owner: a process that is stopped by closing its standard input, and therefore
ends when the process that started it dies, however that happens. Standard library only.
"""

from __future__ import annotations

import os
import signal
import threading
import time

OWNED = "--owned"
"""Argument that makes a command end with its owner."""
STOPPED = 130
"""Exit code of a process that was stopped."""


def stop_with_owner(end_after_s: float | None = None) -> None:
    """Wait in a thread for the end of standard input, then interrupt this process as Ctrl-C would.

    Called in the main thread. What a shell runs in the background without job control ignores
    SIGINT, and so do its children: here it counts again.

    Parameters
    ----------
    end_after_s : float, optional
        Seconds after which the process ends at once if it is still there: compiled code, such as
        one that waits for other processes, is not interrupted.
    """
    owner = os.dup(0)  # whatever becomes standard input later

    def wait() -> None:
        while os.read(owner, 1024):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        if end_after_s is not None:
            time.sleep(end_after_s)
            os._exit(STOPPED)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=wait, name="owner", daemon=True).start()
