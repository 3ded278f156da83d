"""A process that uses an evaluation cache; started by tests/environment/test_cache.py.

`write FILE SEED COUNT`: puts and gets many entries and checks each answer. `endless FILE`: writes
until it is killed. `full FILE`: goes on writing when no file may grow any more.
"""

from __future__ import annotations

import logging
import random
import resource
import sys
from pathlib import Path

from marl_llm.environment.cache.blob_store import BlobStore


def content(key: str, size: int = 3000) -> bytes:
    return random.Random(key).randbytes(size)


def write(file: Path, seed: int, count: int) -> None:
    rng, store = random.Random(seed), BlobStore(file, 1 << 20)
    for _ in range(count):
        key = f"k{rng.randrange(60)}"
        found = store.get(key)
        assert found in (None, content(key)), key
        if found is None:
            store.put(key, content(key))
    store.close()


def endless(file: Path) -> None:
    store, number = BlobStore(file, 1 << 20), 0
    while True:
        store.put(f"k{number % 500}", content(f"k{number % 500}"))
        number += 1
        if number == 20:
            sys.stdout.write("writing\n")
            sys.stdout.flush()


def full(file: Path) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
    store = BlobStore(file, 1 << 20)
    store.put("before", content("before"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for number in range(200):
        store.put(f"k{number}", content(f"k{number}"))
        assert store.get(f"k{number}") == content(f"k{number}")
    store.close()


if __name__ == "__main__":
    what, path, *rest = sys.argv[1:]
    {"write": write, "endless": endless, "full": full}[what](Path(path), *map(int, rest))
