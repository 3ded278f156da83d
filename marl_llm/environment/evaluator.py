"""Running one candidate: the same folds for every candidate of a task, in the sandbox, scored on labels that stay
outside.

One evaluation cross-validates on the development part (feedback) and fits on the whole of it to predict the hold-out
(what rewards rest on). Equal code is run once: the cache key is the code's syntax tree, so layout and comments do not
matter.
"""

from __future__ import annotations

import ast
import threading
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from marl_llm.metrics import Reference, Scores, score_predictions
from marl_llm.predictions import Predictions
from marl_llm.proposals import PRELUDE
from marl_llm.sandbox import Evaluation, Fold, Sandbox, Stage, Status
from marl_llm.tasks import Task


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
        Scores of the pooled out-of-fold predictions, and on the hold-out.
    out_of_fold, holdout_predictions : Predictions or None
        The raw predictions behind them; out-of-fold rows are ordered as `Evaluator.out_of_fold_labels`.
    description : dict or None
        What the sandboxed process said of the estimator; unverified.
    seconds : float
        Wall time of the run.
    isolation : str
        Level of the sandbox.
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
    isolation: str = ""

    @property
    def ok(self) -> bool:
        """True if the candidate fitted and predicted on every fold."""
        return self.status is Status.ok


def code_key(code: str) -> str | None:
    """The code's syntax tree as text, None where it does not parse."""
    try:
        return ast.dump(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def same_code(a: str, b: str) -> bool:
    """True if two codes differ at most in layout and comments."""
    return code_key(a) is not None and code_key(a) == code_key(b)


def _syntax_error(code: str) -> str:
    try:
        compile(code, "<candidate>", "exec")
    except SyntaxError as error:
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return "SyntaxError: unreadable code"


def _pool(parts: list[Predictions]) -> Predictions:
    labels = np.concatenate([p.labels for p in parts])
    probabilities = [p.proba for p in parts if p.proba is not None]
    return Predictions(labels, np.concatenate(probabilities) if len(probabilities) == len(parts) else None)


_PASSING = (Status.timeout, Status.died)
"""Ends that a loaded machine can cause: not kept, so that the same code gets another chance."""


class Evaluator:
    """Evaluates candidates of one task; thread-safe, equal code is run once.

    Parameters
    ----------
    task : Task
        Development and hold-out parts are used; the test part only by `test_scores`.
    sandbox : Sandbox
        Where candidates run.
    cv_folds : int
        Folds of the cross-validation on the development part, at least 2.
    seed : int
        Seeds the folds, and numpy inside the sandbox.
    prelude : str
        Trusted text that is run before the candidate; "" where it brings its own imports, as a person's file does.
    """

    def __init__(
        self, task: Task, sandbox: Sandbox, *, cv_folds: int = 3, seed: int = 0, prelude: str = PRELUDE
    ) -> None:
        self.task, self._sandbox, self._seed, self._prelude = task, sandbox, seed, prelude
        self._classes = len(task.classes) if task.kind.is_classification else None
        self._reference = Reference.from_labels(task.development.y, task.kind, self._classes)
        part = task.development
        splits = task.cv_folds(cv_folds, seed)
        self._folds = [
            Fold.prepare(part.X.iloc[a], part.y[a], part.X.iloc[b], n_classes=self._classes, seed=seed + i)
            for i, (a, b) in enumerate(splits)
        ]
        self._folds.append(Fold.prepare(part.X, part.y, task.holdout.X, n_classes=self._classes, seed=seed + cv_folds))
        self.out_of_fold_labels: np.ndarray = np.concatenate([part.y[b] for _, b in splits])
        edges = np.cumsum([0, *(len(b) for _, b in splits)]).tolist()
        self.fold_bounds: list[tuple[int, int]] = list(zip(edges[:-1], edges[1:], strict=True))
        self._cache: dict[str, Future[Evaluated]] = {}
        self._lock = threading.Lock()
        self.runs = 0
        self.hits = 0

    @property
    def reference(self) -> Reference:
        """The trivial predictor that unbounded losses are measured against."""
        return self._reference

    def evaluate(self, code: str) -> Evaluated:
        """Run a candidate, or return what the same code gave before. Blocks; call it from a worker thread."""
        key = code_key(code)
        if key is None:
            return Evaluated(Status.error, Stage.none, _syntax_error(code))
        with self._lock:
            future = self._cache.get(key)
            mine = future is None
            if future is None:
                future = self._cache[key] = Future()
                self.runs += 1
            else:
                self.hits += 1
        if mine:
            try:
                result = self._run(code)
                if result.status in _PASSING:
                    with self._lock:
                        del self._cache[key]
                future.set_result(result)
            except BaseException as error:
                with self._lock:
                    del self._cache[key]
                future.set_exception(error)
                raise
        return future.result()

    def _run(self, code: str) -> Evaluated:
        result = self._sandbox.evaluate(code, self._folds, prelude=self._prelude, seed=self._seed)
        return self._scored(result) if result.status is Status.ok else self._failed(result)

    def _failed(self, result: Evaluation) -> Evaluated:
        return Evaluated(
            result.status, result.stage, result.error, description=result.description, seconds=result.seconds,
            isolation=result.isolation,
        )  # fmt: skip

    def _scored(self, result: Evaluation) -> Evaluated:
        out_of_fold = _pool(list(result.predictions[:-1]))
        holdout = result.predictions[-1]
        return Evaluated(
            status=result.status,
            stage=result.stage,
            cv=self.scores(self.out_of_fold_labels, out_of_fold),
            holdout=self.scores(self.task.holdout.y, holdout),
            out_of_fold=out_of_fold,
            holdout_predictions=holdout,
            description=result.description,
            seconds=result.seconds,
            isolation=result.isolation,
        )

    def scores(self, y: np.ndarray, predictions: Predictions) -> Scores:
        """Score predictions with the task's metrics."""
        return score_predictions(self.task.metrics, y, predictions, self._reference)

    def fold_score(self, result: Evaluated, start: int, stop: int) -> float:
        """Score of the out-of-fold rows `start` to `stop` (one fold), in the order of `out_of_fold_labels`."""
        assert result.out_of_fold is not None
        labels, proba = result.out_of_fold.labels, result.out_of_fold.proba
        part = Predictions(labels[start:stop], None if proba is None else proba[start:stop])
        return self.scores(self.out_of_fold_labels[start:stop], part).score

    def test_scores(self, code: str) -> Scores | None:
        """Fit on development and hold-out rows, score on the test part: for reports, once, at the end. None if
        it fails.
        """
        import pandas as pd

        task = self.task
        X = pd.concat([task.development.X, task.holdout.X], ignore_index=True)
        y = np.concatenate([task.development.y, task.holdout.y])
        with Fold.prepare(X, y, task.test.X, n_classes=self._classes, seed=self._seed) as fold:
            result = self._sandbox.evaluate(code, [fold], prelude=self._prelude, seed=self._seed)
        return self.scores(task.test.y, result.predictions[0]) if result.status is Status.ok else None

    def close(self) -> None:
        """Release the folds' memory."""
        for fold in self._folds:
            fold.close()
