"""A worker that tells its process id and waits, in place of a trainer."""

from __future__ import annotations

import os
import sys
import time

from marl_llm.core.worker_lines import Tell, work


def _wait(tell: Tell) -> None:
    tell("started", pid=os.getpid())
    time.sleep(600)


if __name__ == "__main__":
    sys.exit(work(_wait))
