"""Means over tasks, and how far they can be trusted. Pure numpy: values and the task each belongs
to in, estimates out.

Trials of one task (repetitions, other splits of the same CSV) are not independent, tasks are: every
figure is first averaged within its task, each task weighs the same, and intervals come from the
spread between tasks (Miller 2024, Adding Error Bars to Evals, for clusters of equal weight). The
main interval is Student's t on the task means: with the 4 to 40 tasks of a suite the percentile
bootstrap is too narrow. `bootstrap_ratio` resamples whole tasks where the statistic is no mean, a
ratio of sums.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
NONE = "-"
"""Where there is no figure, in tables."""
MIN_TASKS = 2
"""Fewest tasks with an interval of their mean: the spread between tasks cannot be seen in one."""
MIN_BOOTSTRAP_TASKS = 5
"""Fewest tasks that are resampled: four give 35 different resamples, too few for a 2.5% quantile.
"""


@dataclass(frozen=True)
class Estimate:
    """A mean over tasks with its 95% interval.

    Attributes
    ----------
    mean : float or None
        None without any value.
    low, high : float or None
        Ends of the interval; None where there are too few tasks for one.
    tasks, trials : int
        How many tasks, and values in all, stand behind it.
    """

    mean: float | None
    low: float | None
    high: float | None
    tasks: int
    trials: int

    def text(self, form: str = ".3f") -> str:
        """The mean with its interval, for people: `0.120 [0.080, 0.160]`; `-` where there is
        none.
        """
        if self.mean is None:
            return NONE
        known = self.low is not None and self.high is not None
        return f"{self.mean:{form}}" + (
            f" [{self.low:{form}}, {self.high:{form}}]" if known else ""
        )


def task_means(values: Sequence[float], tasks: Sequence[Hashable]) -> np.ndarray:
    """Mean of each task's values, shape (n_tasks,), in the order in which tasks first appear.

    Raises
    ------
    ValueError
        Not one task for each value, or a value is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) != len(tasks):
        raise ValueError(f"{len(numbers)} values for {len(tasks)} task names")
    if not np.isfinite(numbers).all():
        raise ValueError("values must be finite: leave missing ones out")
    index = {task: i for i, task in enumerate(dict.fromkeys(tasks))}
    which = np.array([index[task] for task in tasks], dtype=np.int64)
    counts = np.bincount(which, minlength=len(index))
    return np.bincount(which, weights=numbers, minlength=len(index)) / counts


def clustered_mean(values: Sequence[float], tasks: Sequence[Hashable]) -> Estimate:
    """Mean of the task means, with Student's t interval.

    Parameters
    ----------
    values : sequence of float, length n
        Finite.
    tasks : sequence, length n
        The task each value belongs to.

    Returns
    -------
    Estimate
        `mean +- t(0.975, n_tasks - 1) * s / sqrt(n_tasks)`, s being the standard deviation of the
        task means. Without an interval for fewer than two tasks. Shares are not cut to [0, 1].
    """
    from scipy.special import stdtrit  # a quarter of a second, so not at import

    means = task_means(values, tasks)
    n = len(means)
    if n == 0:
        return Estimate(None, None, None, 0, 0)
    mean = float(means.mean())
    if n < MIN_TASKS:
        return Estimate(mean, None, None, n, len(values))
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * float(means.std(ddof=1)) / n**0.5
    return Estimate(mean, mean - half, mean + half, n, len(values))


def paired_difference(
    first: dict[tuple[str, int], float], second: dict[tuple[str, int], float]
) -> Estimate:
    """Mean of `first - second` over the trials that both have, as `clustered_mean`.

    Parameters
    ----------
    first, second : dict of (task, repetition) to value
        Scores of two arms; what the tasks have in common cancels, so the interval is far narrower
        than those of the two means.
    """
    shared = [trial for trial in first if trial in second]
    return clustered_mean(
        [first[trial] - second[trial] for trial in shared], [task for task, _ in shared]
    )


def unpaired_difference(
    values: Sequence[float], first: Sequence[bool], tasks: Sequence[Hashable]
) -> Estimate:
    """Mean over the tasks of the values in the `first` group minus that over the tasks of the
    others.

    Returns
    -------
    Estimate
        With Welch's t interval (unequal variances) on the task means. A task with values in both
        groups counts once in each, which makes the interval wider than it need be. No mean where a
        group is empty; no interval where one has fewer than two tasks, or where neither has any
        spread.
    """
    from scipy.special import stdtrit

    sides = []
    for side in (True, False):
        at = [i for i, one in enumerate(first) if one == side]
        sides.append(task_means([values[i] for i in at], [tasks[i] for i in at]))
    a, b = sides
    n = len(set(tasks))
    if not len(a) or not len(b):
        return Estimate(None, None, None, n, len(values))
    mean = float(a.mean() - b.mean())
    errors = [side.var(ddof=1) / len(side) if len(side) >= MIN_TASKS else 0.0 for side in sides]
    if min(len(a), len(b)) < MIN_TASKS or not sum(errors):
        return Estimate(mean, None, None, n, len(values))
    freedom = sum(errors) ** 2 / sum(
        e**2 / (len(side) - 1) for e, side in zip(errors, sides, strict=True)
    )
    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * sum(errors) ** 0.5
    return Estimate(mean, mean - half, mean + half, n, len(values))


def bootstrap_ratio(
    above: Sequence[float],
    below: Sequence[float],
    tasks: Sequence[Hashable],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Sum of `above` over sum of `below` (task means), with a percentile interval from resampling
    whole tasks.

    A ratio of sums and not a mean of ratios, since a task on which little can be gained has a tiny
    denominator.

    Returns
    -------
    Estimate
        Without an interval for fewer than five tasks, or where `below` adds up to nothing, or less,
        in more resamples than lie beyond one end of the interval; no mean where it does so in the
        data.
    """
    tops, bottoms = task_means(above, tasks), task_means(below, tasks)
    n, total = len(tops), float(bottoms.sum())
    if n == 0 or total < 1e-12:
        return Estimate(None, None, None, n, len(tasks))
    ratio = float(tops.sum()) / total
    if n < MIN_BOOTSTRAP_TASKS:
        return Estimate(ratio, None, None, n, len(tasks))
    drawn = np.random.default_rng(seed).integers(0, n, size=(resamples, n))  # (B, n_tasks)
    sums = bottoms[drawn].sum(axis=1)
    useful = sums > 1e-12
    if 1 - useful.mean() > (1 - LEVEL) / 2:
        return Estimate(ratio, None, None, n, len(tasks))
    ratios = tops[drawn].sum(axis=1)[useful] / sums[useful]
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(ratio, float(low), float(high), n, len(tasks))


def relative_gain(
    scores: Sequence[float], starts: Sequence[float], tasks: Sequence[Hashable], *, seed: int = 0
) -> Estimate:
    """Share of what was missing to a perfect score that was gained: sum of `score - start` over sum
    of `1 - start`.
    """
    gained = [score - start for score, start in zip(scores, starts, strict=True)]
    return bootstrap_ratio(gained, [1 - start for start in starts], tasks, seed=seed)
