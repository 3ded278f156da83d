"""`AnalysisView`: all that an answer may be computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.core.predictions import Predictions
from marl_llm.environment.memory import TokenCounter, rough_tokens
from marl_llm.proposals import PipelineSpec
from marl_llm.sandbox import Evaluation, SnippetResult
from marl_llm.tasks import Task

DEFAULT_BUDGET = 160
"""Tokens of an answer."""

FitPredict = Callable[[pd.DataFrame, np.ndarray, pd.DataFrame], Evaluation]
"""Fits the current solution to rows and labels, and predicts other rows, in the sandbox."""


@dataclass(frozen=True, eq=False)
class AnalysisView:
    """A task and its current model, as the queries see them.

    Attributes
    ----------
    task : Task
        Only its development part is read.
    out_of_fold : Predictions or None
        Cross-validated predictions of the current model.
    rows : ndarray of int64 or None, shape (n,)
        Their rows: positions in the development part.
    spec : PipelineSpec or None
        The current solution.
    budget : int
        Most tokens of an answer, as `count` counts them.
    count : callable
        Text to number of tokens.
    seed : int
        Of samples and permutations.
    score : callable or None
        Labels and predictions to the task's score.
    fit_predict : callable or None
        Fits the current solution elsewhere, within limits.
    run_snippet : callable or None
        Runs a snippet on the development rows, in the sandbox.
    """

    task: Task
    out_of_fold: Predictions | None = None
    rows: np.ndarray | None = None
    spec: PipelineSpec | None = None
    budget: int = DEFAULT_BUDGET
    count: TokenCounter = rough_tokens
    seed: int = 0
    score: Callable[[np.ndarray, Predictions], float] | None = None
    fit_predict: FitPredict | None = None
    run_snippet: Callable[[str], SnippetResult] | None = None

    @property
    def y(self) -> np.ndarray:
        """Development labels: int64 class index or float64 value, shape (n_development,)."""
        return self.task.development.y

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by index; () for regression."""
        return self.task.classes

    def sample(self, most: int) -> np.ndarray:
        """Positions of at most `most` development rows, drawn with the view's seed, in ascending
        order.
        """
        n = len(self.y)
        if n <= most:
            return np.arange(n)
        return np.sort(np.random.default_rng(self.seed).choice(n, most, replace=False))
