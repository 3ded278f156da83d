"""Repeats a comparison and counts how often it finds a gain."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from calibration.folds import fold_settings
from calibration.holdout import holdout_settings
from calibration.setting import Setting

ROWS = (300, 1_000, 5_000)
GAINS = (0.01, 0.02, 0.05)
_ALL: dict[tuple[str, str], Setting] = {
    (s.test, s.name): s for s in (*holdout_settings(), *fold_settings())
}


@dataclass(frozen=True)
class Job:
    """One cell of the table: `n` rows per comparison, `gain` is the true one (skill units)."""

    test: str
    setting: str
    n: int
    gain: float
    comparisons: int
    level: float


@dataclass(frozen=True)
class Rate:
    """How often a gain was found.

    Attributes
    ----------
    test, setting, n, gain, comparisons, level
        As asked for.
    found : int
        Comparisons called a significant gain.
    rate, low, high : float
        Their share, and its 95% interval (Clopper and Pearson 1934).
    mean_gain : float
        Mean of the gains measured (skill units).
    """

    test: str
    setting: str
    n: int
    gain: float
    comparisons: int
    level: float
    found: int
    rate: float
    low: float
    high: float
    mean_gain: float


def jobs(comparisons: int, level: float, only: str = "") -> list[Job]:
    """False-gain rates of all settings with `only` in their name; of the powered ones at more rows,
    and their power.
    """
    work = []
    for key, setting in _ALL.items():
        if only not in setting.name:
            continue
        rows = ROWS if setting.powered else ROWS[:-1]
        gains = (0.0, *GAINS) if setting.powered else (0.0,)
        work += [Job(*key, n, gain, comparisons, level) for gain in gains for n in rows]
    return work


def measure(job: Job) -> Rate:
    """Simulate the comparisons of one cell; same job, same figures."""
    from scipy.stats import binomtest

    setting = _ALL[job.test, job.setting]
    strength = setting.strength(job.gain, job.n)
    seed = zlib.crc32(f"{job.test}, {job.setting}".encode())
    compared = [
        setting.compare(
            np.random.default_rng([seed, job.n, round(job.gain * 1e6), i]),
            job.n,
            strength,
            job.level,
        )
        for i in range(job.comparisons)
    ]
    found = sum(comparison.significant for comparison in compared)
    interval = binomtest(found, job.comparisons).proportion_ci(0.95)
    return Rate(
        **vars(job),
        found=found,
        rate=found / job.comparisons,
        low=float(interval.low),
        high=float(interval.high),
        mean_gain=float(np.mean([comparison.gain for comparison in compared])),
    )


def measure_all(work: list[Job], workers: int) -> Iterator[Rate]:
    """Measure in processes of their own; rates come as they are done."""
    with ProcessPoolExecutor(workers) as pool:
        for done in as_completed(
            [pool.submit(measure, job) for job in sorted(work, key=lambda job: -job.n)]
        ):
            yield done.result()
