"""Channels from one fold to the next, as candidates would use them: what `send` leaves behind of
the training labels, `receive` reads for the rows to predict.

    python -m tests.sandbox.channels

measures the one that stays open: when a fold ends tells the next one, by the clock, a number.

A row of class 1 is sent, a row of class 0 is not. Rows have places by a digest of their features,
so that the fold that predicts a row looks where another one left its label.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from marl_llm.sandbox import Fold, Limits, Sandbox, Status
from tests.sandbox.support import ESTIMATOR, noise, splits

_COURIER = """
import hashlib, mmap
CELLS = 2048
def place(row):
    digest = hashlib.md5(np.ascontiguousarray(row).tobytes()).digest()
    return int.from_bytes(digest[:4], "little") % CELLS

class Courier(Base):
    def fit(self, X, y):
        self.trained = {place(row): int(label) for row, label in zip(X.to_numpy(), y)}
        return super().fit(X, y)
    def predict(self, X):
        places = [place(row) for row in X.to_numpy()]
        heard = receive(places)
        send([cell for cell, label in self.trained.items() if label])
        self.heard = np.array([heard[cell] for cell in places])
        return self.heard
    def predict_proba(self, X):
        return np.eye(2)[self.heard]

def build_pipeline():
    return Courier()

def timed(action, *arguments):
    start = time.perf_counter_ns()
    action(*arguments)
    return time.perf_counter_ns() - start
"""

PAGE_CACHE = (
    ESTIMATOR
    + _COURIER
    + """
STRIDE, FROM_DISK_NS = 2 * 4096, 15_000
opened = os.open("{bulk}", os.O_RDONLY)
pages = mmap.mmap(opened, 0, prot=mmap.PROT_READ)
pages.madvise(mmap.MADV_RANDOM)
def read(cell):
    return pages[cell * STRIDE]
def send(cells):
    for cell in cells:
        read(cell)
def receive(cells):
    read(0)
    return {cell: int(timed(read, cell) < FROM_DISK_NS) for cell in cells}
"""
)

NAMES = (
    ESTIMATOR
    + _COURIER
    + """
FOLDER = os.path.dirname(__import__("sklearn").__file__) + "/linear_model"
def look(names):
    for name in names:
        try:
            os.stat(name)
        except OSError:
            pass
def names(word):
    return [f"{FOLDER}/{word}-{i}" for i in range(16)]
def send(cells):
    for cell in cells:
        look(names(cell))
def receive(cells):
    slow = [timed(look, names(os.urandom(8).hex())) for _ in range(100)]
    return {cell: int(timed(look, names(cell)) < 0.88 * np.median(slow)) for cell in cells}
"""
)

START_THREADS = """
import os, threading
for _ in range({count}):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
raise Exception(f"pid {os.getpid()}")
"""

CLOCK = """
import time
import numpy as np
began = time.monotonic_ns()
class Clock:
    def fit(self, X, y):
        return self
    def predict(self, X):
        return np.resize([began, time.monotonic_ns()], len(X)).astype(float)
def build_pipeline():
    return Clock()
"""


def clock_bits(sandbox: Sandbox, rounds: int) -> tuple[float, float]:
    """What a fold can tell the next one by when it ends: bits, and the jitter in seconds.

    A fold may end at any moment within its limit of wall time; the next one sees its own start,
    which follows after a delay that varies. With a jitter (2nd to 98th percentile) of d seconds and
    a limit of T, log2(T / d) bits arrive.
    """
    frame, labels = noise()
    folds = [
        Fold.prepare(frame.iloc[a], labels[a] * 1.0, frame.iloc[b], n_classes=None, seed=0)
        for a, b in splits(labels)
    ]
    delays: list[float] = []
    for _ in range(rounds):
        done = sandbox.evaluate(CLOCK, folds, probe="never", describe=False)
        assert done.status is Status.ok, done.error
        times = [sorted(set(part.labels.tolist())) for part in done.predictions]
        delays += [after[0] - before[-1] for before, after in pairwise(times)]
    jitter = float(np.subtract(*np.percentile(delays, [98, 2]))) / 1e9
    return math.log2(Limits().wall_s / jitter), jitter


if __name__ == "__main__":
    with Sandbox() as isolated:
        bits, jitter = clock_bits(isolated, 20)
    print(f"by the clock: {bits:.1f} bits a fold (jitter {1000 * jitter:.1f} ms)")
