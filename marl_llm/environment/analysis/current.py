"""`current_view`: what the queries see of an episode's current state, and how they reach the
sandbox.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from marl_llm.environment.analysis.view import DEFAULT_BUDGET, AnalysisView
from marl_llm.environment.evaluator import Evaluator
from marl_llm.environment.memory import TokenCounter, rough_tokens
from marl_llm.environment.state import State
from marl_llm.proposals import prelude_for
from marl_llm.sandbox import Evaluation, Fold, Probe, SandboxPool, SnippetResult


def current_view(
    evaluator: Evaluator,
    sandbox: SandboxPool,
    state: State,
    seed: int,
    budget: int = DEFAULT_BUDGET,
    count: TokenCounter = rough_tokens,
) -> AnalysisView:
    """The view of a state: the evaluator's task, and the state's model.

    Parameters
    ----------
    evaluator : Evaluator
        Of the task; gives the rows of out-of-fold predictions and the score.
    sandbox : SandboxPool
        Where the current code is fitted and snippets run.
    state : State
        Its code and out-of-fold predictions are analysed.
    seed : int
        Of samples, permutations and the sandbox.
    budget : int
        Most tokens of an answer, as `count` counts them.
    """
    task = evaluator.task
    n_classes = len(task.classes) if task.kind.is_classification else None

    def fit_predict(
        X_train: pd.DataFrame, y_train: np.ndarray, X_valid: pd.DataFrame
    ) -> Evaluation:
        with Fold.prepare(X_train, y_train, X_valid, n_classes=n_classes, seed=seed) as fold:
            return sandbox.evaluate(
                state.code, [fold], prelude=prelude_for(state.code), seed=seed, probe=Probe.never
            )

    def run_snippet(code: str) -> SnippetResult:
        y = task.development.y
        labels = y if n_classes is None else np.array(task.classes, dtype=object)[y]
        return sandbox.analyze(code, task.development.X, labels, seed=seed)

    out_of_fold = state.evaluated.out_of_fold
    return AnalysisView(
        task=task,
        out_of_fold=out_of_fold,
        rows=None if out_of_fold is None else evaluator.out_of_fold_rows[: len(out_of_fold)],
        spec=state.spec,
        budget=budget,
        count=count,
        seed=seed,
        score=lambda y, predictions: evaluator.scores(y, predictions).score,
        fit_predict=fit_predict,
        run_snippet=run_snippet,
    )
