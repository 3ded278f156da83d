"""A process that fills an experience store; started by tests/environment/test_experience_store.py.

`write FILE WHO COUNT`: adds data sets of its own and a shared one. `endless FILE`: adds until it is
killed. `full FILE`: goes on when no file may grow any more.
"""

from __future__ import annotations

import logging
import resource
import signal
import sys
from pathlib import Path

from marl_llm.environment.experience import ExperienceStore
from tests.environment.known import data_set


def write(file: Path, who: str, count: int) -> None:
    store = ExperienceStore(file)
    for number in range(count):
        store.add(data_set(f"{who}-{number}", ("finish", 0.1)))
        store.add(
            data_set(
                "shared", (f"propose_model est = Ridge(alpha={number % 7 + 1}.0)", 0.1 + number % 7)
            )
        )


def endless(file: Path) -> None:
    store, number = ExperienceStore(file), 0
    while True:
        store.add(data_set(f"k{number}", *((f"{'x' * 380} {i}", 0.1 + i) for i in range(5))))
        number += 1
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def full(file: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
    store = ExperienceStore(file)
    store.add(data_set("before", ("finish", 0.1)))
    size = file.stat().st_size + 100
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    store.add(data_set("cut", ("finish", 0.1)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.add(data_set("after", ("finish", 0.1)))


if __name__ == "__main__":
    command, path, *rest = sys.argv[1:]
    if command == "write":
        write(Path(path), rest[0], int(rest[1]))
    else:
        {"endless": endless, "full": full}[command](Path(path))
