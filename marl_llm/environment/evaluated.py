"""A candidate's result on one task: what comes out of an evaluation and goes into comparisons,
states and rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Scores
from marl_llm.sandbox import Evaluation, Stage, Status


@dataclass(frozen=True)
class Evaluated:
    """A candidate's result on one task.

    Attributes
    ----------
    status, stage : Status, Stage
        How the run ended and the highest rung it reached.
    error : str
        One short line, "" if it ran.
    cv, holdout : Scores or None
        Scores of the pooled out-of-fold predictions, and on the hold-out. None where there are no
        predictions; of a stopped evaluation `cv` is that of the folds done.
    out_of_fold, holdout_predictions : Predictions or None
        The raw predictions behind them; out-of-fold rows are ordered as
        `Evaluator.out_of_fold_labels`. A stopped evaluation has those of the first folds only, or
        none.
    description : dict or None
        What the sandboxed process said of the estimator; unverified.
    seconds, cpu_seconds : float
        Wall and processor time of the folds when they were run.
    isolation : str
        Level of the sandbox.
    stopped_after : int or None
        Folds done (the hold-out's counts as one) when the comparison was decided; None if all were
        done.
    """

    status: Status
    stage: Stage
    error: str = ""
    cv: Scores | None = None
    holdout: Scores | None = None
    out_of_fold: Predictions | None = None
    holdout_predictions: Predictions | None = None
    description: dict[str, object] | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    isolation: str = ""
    stopped_after: int | None = None

    @property
    def ok(self) -> bool:
        """True if the candidate fitted and predicted on every fold that was run."""
        return self.status is Status.ok

    @property
    def complete(self) -> bool:
        """True if it ran on every fold."""
        return self.ok and self.stopped_after is None


def some_rows(predictions: Predictions, start: int, stop: int) -> Predictions:
    """Predictions of the rows `start` to `stop`."""
    proba = predictions.proba
    return Predictions(predictions.labels[start:stop], None if proba is None else proba[start:stop])


def pooled(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several sets of rows, at least one, as one; probabilities where all have
    them.
    """
    labels = np.concatenate([part.labels for part in parts])
    probabilities = [part.proba for part in parts if part.proba is not None]
    return Predictions(
        labels, np.concatenate(probabilities) if len(probabilities) == len(parts) else None
    )


def failed(runs: Sequence[Evaluation]) -> Evaluated:
    """The result of a candidate that failed in the last of its runs."""
    last = runs[-1]
    return Evaluated(
        last.status,
        last.stage,
        last.error,
        description=runs[0].description,
        isolation=last.isolation,
        seconds=sum(run.seconds for run in runs),
        cpu_seconds=sum(run.cpu_seconds for run in runs),
    )


def out_of_time() -> Evaluated:
    """The result where the budget ended before anything was known."""
    return Evaluated(Status.timeout, Stage.parsed, "the budget is used up")
