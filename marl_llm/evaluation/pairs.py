"""Two arms against each other on the same trials: overall, and CSV by CSV over its splits. Scores
in, estimates out.

Overall, CSVs are what varies (`statistics.py`). For one CSV it is the split: another random
division of the same rows gives another score, and since the training parts overlap, the interval is
that of the corrected resampled t-test (Nadeau and Bengio 2003), the test part being a third of the
rows that are fitted. It speaks of other splits of the CSV.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from marl_llm.evaluation.statistics import Estimate, paired_difference
from marl_llm.metrics import corrected_resampled_t

Scores = dict[tuple[str, int], float]
"""Scores of one arm by task and repetition."""
_TRAIN, _TEST = 3, 1  # quarters of the rows


class TaskDifference(BaseModel):
    """Mean difference on one task, with its interval over splits where there are two or more."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str
    estimate: Estimate


class Pair(BaseModel):
    """Test score of one arm minus that of another: overall, and for each task."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    arm: str
    against: str
    overall: Estimate
    tasks: list[TaskDifference]

    @property
    def better(self) -> list[str]:
        """Tasks whose interval lies above zero."""
        return [
            one.task for one in self.tasks if one.estimate.low is not None and one.estimate.low > 0
        ]

    @property
    def worse(self) -> list[str]:
        """Tasks whose interval lies below zero."""
        return [
            one.task
            for one in self.tasks
            if one.estimate.high is not None and one.estimate.high < 0
        ]


def over_splits(differences: Sequence[float]) -> Estimate:
    """Mean over the splits of one CSV, with the interval of the corrected resampled t-test.

    Parameters
    ----------
    differences : sequence of float, length k
        Score of one arm minus the other's, split by split.

    Returns
    -------
    Estimate
        Of one task and k trials; without an interval for fewer than two.
    """
    if not differences:
        return Estimate(None, None, None, 0, 0)
    found = corrected_resampled_t(np.asarray(differences), _TRAIN, _TEST)
    if not math.isfinite(found.low):
        return Estimate(found.gain, None, None, 1, len(differences))
    return Estimate(found.gain, found.low, found.high, 1, len(differences))


def pair(arm: str, against: str, first: Scores, second: Scores) -> Pair:
    """Compare two arms on the trials that both have."""
    by_task: dict[str, list[float]] = {}
    for key in first:
        if key in second:
            by_task.setdefault(key[0], []).append(first[key] - second[key])
    tasks = [
        TaskDifference(task=task, estimate=over_splits(values)) for task, values in by_task.items()
    ]
    return Pair(arm=arm, against=against, overall=paired_difference(first, second), tasks=tasks)
