"""Running one candidate: the same folds for every candidate of a task, in the sandbox, scored on
labels that stay outside.

One evaluation cross-validates on the development part (feedback) and fits on the whole of it to
predict the hold-out (what rewards rest on). What a candidate predicted on a fold is kept in the
evaluation cache, keyed by the code's syntax tree, so layout and comments do not matter; scores are
computed anew. An evaluation against the current model may end before all folds are done; asked for
without it, the rest is run.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from marl_llm.core.predictions import Predictions
from marl_llm.core.syntax import syntax_error
from marl_llm.environment.blend import blended
from marl_llm.environment.cache import PASSING, EvaluationCache
from marl_llm.environment.cache.keys import code_key
from marl_llm.environment.compliance import same_predictions
from marl_llm.environment.compose import FoldFacts, composed
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.elsewhere import unexpected_folds
from marl_llm.environment.evaluated import Evaluated, failed, out_of_time, pooled
from marl_llm.environment.fold_runner import Candidate, FoldRunner, KeyedFold
from marl_llm.environment.gain import GainTest, truth_of
from marl_llm.metrics import Comparison, Reference, Scores, score_predictions
from marl_llm.proposals import PipelineSpec, generate_code
from marl_llm.proposals.spec import BLEND
from marl_llm.sandbox import Evaluation, Fold, Limits, SandboxPool, Stage, Status
from marl_llm.tasks import Task


class Evaluator:
    """Evaluates candidates of one task; thread-safe, equal code is run once.

    Parameters
    ----------
    task : Task
        Development and hold-out parts are used; the test part only by `test_scores`.
    sandbox : SandboxPool
        Where candidates run.
    config : EnvironmentConfig, optional
        Folds, test of gains, early stopping, evaluation cache.
    seed : int
        Seeds the folds, the test's resamples, and numpy inside the sandbox.
    prelude : str, optional
        Trusted text that is run before the candidate; "" where it brings its own imports, as a
        person's file does. Default: `prelude_for(code)`.

    Attributes
    ----------
    out_of_fold_labels, out_of_fold_rows : ndarray, shape (n,)
        Targets, and positions in the development part, of the pooled out-of-fold rows.
    fold_bounds : list of (int, int)
        Where each fold of the cross-validation begins and ends among them.
    runs, hits : int
        Evaluations that had to fit something, and those that were answered without.
    enough : callable or None
        True ends evaluations before their next fold (a budget that is spent). What is known is
        still answered.

    Raises
    ------
    UserError
        The file named as the evaluation cache is something else.
    """

    def __init__(
        self,
        task: Task,
        sandbox: SandboxPool,
        config: EnvironmentConfig | None = None,
        *,
        seed: int = 0,
        prelude: str | None = None,
    ) -> None:
        self.task, self._seed = task, seed
        self._config = config = config or EnvironmentConfig()
        self._classes = len(task.classes) if task.kind.is_classification else None
        self._reference = Reference.from_labels(
            task.development.y, task.kind, self._classes, task.classes
        )
        part, splits = task.development, task.cv_folds(config.cv_folds, seed)
        self._folds = [
            self._fold(i, part.X.iloc[a], part.y[a], part.X.iloc[b])
            for i, (a, b) in enumerate(splits)
        ]
        self._folds.append(self._fold(config.cv_folds, part.X, part.y, task.holdout.X))
        self._priors = [self._shares(part.y[a]) for a, _ in splits] + [self._shares(part.y)]
        self.out_of_fold_rows: np.ndarray = np.concatenate([b for _, b in splits])
        self.out_of_fold_labels: np.ndarray = part.y[self.out_of_fold_rows]
        edges = np.cumsum([0, *(len(b) for _, b in splits)]).tolist()
        self.fold_bounds: list[tuple[int, int]] = list(pairwise(edges))
        self._gain_test = GainTest(truth_of(task, self._reference, splits), config, seed)
        self._cache = EvaluationCache(
            Path(config.cache) if config.cache else None, config.cache_mib
        )
        self._runner, self._limits = FoldRunner(sandbox, self._cache, prelude, seed), sandbox.limits
        self._done: weakref.WeakValueDictionary[str, Evaluated] = weakref.WeakValueDictionary()
        self._turns: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()
        self.runs = 0
        self.hits = 0
        self.enough: Callable[[], bool] | None = None

    @property
    def reference(self) -> Reference:
        """The trivial predictor that unbounded losses are measured against."""
        return self._reference

    @property
    def fits(self) -> int:
        """Folds fitted so far."""
        return self._runner.fits

    @property
    def class_shares(self) -> np.ndarray | None:
        """Class shares of the development rows, shape (classes,); None for regression."""
        return self._priors[-1]

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all fits asked for so far, each counted once; one that the cache answered, as
        when it was run.
        """
        return self._runner.cpu_seconds

    def evaluate(self, code: str, against: Evaluated | None = None) -> Evaluated:
        """Run a candidate, or return what the same code gave before. Blocks; call it from a worker
        thread.

        Parameters
        ----------
        code : str
            Untrusted.
        against : Evaluated, optional
            The current model. Where early stopping is on, folds are left out once it is decided
            that the candidate is no significant gain over it; without it all folds are run.
        """
        tree = code_key(code)
        if tree is None:
            return Evaluated(Status.error, Stage.none, syntax_error(code))
        if (
            self._over()
        ):  # equal code may be running in another thread: nobody waits for it any more
            return self._known(Candidate(code, tree)) or out_of_time()
        with self._turn(tree):
            known = self._done.get(tree)
            result, fitted = (known, False) if known else self._run(Candidate(code, tree), against)
            with self._lock:
                self.runs += fitted
                self.hits += not fitted
                if result.stopped_after is None and result.status not in PASSING:
                    self._done[tree] = result
        return result

    def bound_fits(self, seconds: float) -> None:
        """From now on no candidate may fit and predict a fold for longer than this, or than the
        sandbox allows. The test part is left out: what is delivered has as long as the sandbox
        gives.
        """
        wall_s, cpu_s = (
            min(self._limits.wall_s, seconds),
            max(1, min(self._limits.cpu_s, round(seconds))),
        )
        self._runner.limits = replace(self._limits, wall_s=wall_s, cpu_s=cpu_s)

    def compare(self, before: Evaluated, after: Evaluated) -> Comparison | None:
        """Paired test of `after` against `before`; None unless both ran."""
        return self._gain_test.compare(before, after)

    def scores(self, y: np.ndarray, predictions: Predictions) -> Scores:
        """Score predictions with the task's metrics."""
        return score_predictions(self.task.metrics, y, predictions, self._reference)

    def cross_validate(self, code: str) -> Scores | None:
        """Scores of the pooled out-of-fold predictions alone, for a search that must not look at
        the hold-out; None if the code fails, or the budget is spent. Blocks.
        """
        tree = code_key(code)
        if tree is None:
            return None
        done: list[Predictions] = []
        with self._turn(tree):
            for i, fold in enumerate(self._folds[:-1]):
                if self._over():
                    return None
                run, _ = self._runner.run(
                    Candidate(code, tree), fold, describe=i == self._gain_test.order[0], probe=False
                )
                if run.status is not Status.ok:
                    return None
                done.append(run.predictions[0])
        return self._score_folds(pooled(done))

    def compose(self, spec: PipelineSpec) -> Evaluated:
        """A blend's result from those of its members, which are evaluated where they were not: what
        running its code would give, without fitting anything again. Blocks.
        """
        parts = [self.evaluate(generate_code(member)) for member in spec.members]
        facts = FoldFacts(self.fold_bounds, self._priors)
        return composed(spec, parts, facts, self._score_folds, self._score_holdout)

    def _score_folds(self, predictions: Predictions) -> Scores:
        return self.scores(self.out_of_fold_labels[: len(predictions)], predictions)

    def _score_holdout(self, predictions: Predictions) -> Scores:
        return self.scores(self.task.holdout.y, predictions)

    def screen(self, code: str, folds: Sequence[KeyedFold], limits: Limits) -> list[Evaluation]:
        """Run a candidate on some folds, tight in time, until one fails. Blocks."""
        tree = code_key(code)
        runs: list[Evaluation] = []
        for fold in folds if tree is not None else ():
            assert tree is not None
            describe = (
                fold is self._folds[self._gain_test.order[0]]
            )  # as a later evaluation will ask
            run, _ = self._runner.run(
                Candidate(code, tree), fold, describe=describe, probe=False, limits=limits
            )
            runs.append(run)
            if run.status is not Status.ok:
                break
        return runs

    def own_folds(self, count: int) -> list[tuple[KeyedFold, np.ndarray]]:
        """The first folds of the cross-validation, each with the targets of its validation rows."""
        found = zip(self._folds[:-1], self.fold_bounds, strict=True)
        return [(fold, self.out_of_fold_labels[a:b]) for fold, (a, b) in list(found)[:count]]

    def fold_of(self, train: np.ndarray, valid: np.ndarray) -> tuple[KeyedFold, np.ndarray]:
        """A fold of other rows, positions in the development part, with the targets of its
        validation rows.
        """
        part = self.task.development
        fold = self._fold(len(self._folds), part.X.iloc[train], part.y[train], part.X.iloc[valid])
        return fold, part.y[valid]

    def agree_elsewhere(self, code: str, other: str) -> bool:
        """True if two codes fit and predict the same on rows that neither can expect:
        `elsewhere.py`. Blocks.
        """
        candidates = [
            Candidate(c, tree) for c in (code, other) if (tree := code_key(c)) is not None
        ]
        agreed = False
        for fold in unexpected_folds(self.task, self._classes, self._seed):
            with fold:
                keyed = KeyedFold(fold)
                runs = [
                    self._runner.run(c, keyed, describe=False, probe=False)[0] for c in candidates
                ]
            ran = {run.status is Status.ok for run in runs}
            if ran == {True, False} or len(runs) < 2:
                return False
            if ran == {True}:
                if not same_predictions(runs[0].predictions[0], runs[1].predictions[0]):
                    return False
                agreed = True
        return agreed

    def test_scores(self, code: str) -> Scores | None:
        """Fit on development and hold-out rows, score on the test part: for reports, once, at the
        end. None if it fails. Blocks.
        """
        found = self._test_predictions(code)
        return None if found is None else self.scores(self.task.test.y, found)

    def test_predictions(self, spec: PipelineSpec) -> Predictions | None:
        """A solution's predictions of the test part, as `test_scores` scores them. Members of a
        blend are fitted one by one, so that each has a candidate's time and memory. Blocks.
        """
        if spec.estimator != BLEND:
            return self._test_predictions(generate_code(spec))
        with ThreadPoolExecutor(len(spec.members)) as pool:
            parts = list(pool.map(self._test_predictions, map(generate_code, spec.members)))
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        y = np.concatenate([self.task.development.y, self.task.holdout.y])
        return blended(known, spec.weights, self._shares(y), spec.power)

    def _test_predictions(self, code: str) -> Predictions | None:
        tree, task = code_key(code), self.task
        if tree is None:
            return None
        X = pd.concat([task.development.X, task.holdout.X], ignore_index=True)
        y = np.concatenate([task.development.y, task.holdout.y])
        with Fold.prepare(X, y, task.test.X, n_classes=self._classes, seed=self._seed) as fold:
            done, _ = self._runner.run(
                Candidate(code, tree),
                KeyedFold(fold),
                describe=False,
                probe=True,
                limits=self._limits,
            )
        return done.predictions[0] if done.status is Status.ok else None

    def close(self) -> None:
        """Release the folds' memory and the cache."""
        for one in self._folds:
            one.fold.close()
        self._cache.close()

    def _shares(self, y: np.ndarray) -> np.ndarray | None:
        """Class shares; None for regression."""
        return (
            None
            if self._classes is None
            else np.bincount(y.astype(int), minlength=self._classes) / len(y)
        )

    def _fold(
        self, number: int, X_train: pd.DataFrame, y_train: np.ndarray, X_valid: pd.DataFrame
    ) -> KeyedFold:
        fold = Fold.prepare(
            X_train, y_train, X_valid, n_classes=self._classes, seed=self._seed + number
        )
        return KeyedFold(fold)

    @contextmanager
    def _turn(self, tree: str) -> Iterator[None]:
        """One thread at a time for equal code, so that it is run once."""
        with self._lock:
            turn = self._turns.setdefault(hash(tree), threading.Lock())  # trees are long
        with turn:
            yield

    def _run(self, candidate: Candidate, against: Evaluated | None) -> tuple[Evaluated, bool]:
        """The result, and whether anything had to be fitted."""
        last, fitted = len(self._folds) - 1, False
        runs: list[Evaluation] = []
        done: dict[int, Predictions] = {}
        for fold in self._gain_test.order:
            if (
                against is not None
                and self._config.early_stop
                and self._gain_test.hopeless(against, done)
            ):
                break
            if self._over():
                return self._known(candidate) or out_of_time(), fitted
            run, fresh = self._runner.run(
                candidate, self._folds[fold], describe=not runs, probe=fold == last
            )
            runs.append(run)
            fitted |= fresh
            if run.status is not Status.ok:
                return failed(runs), fitted
            done[fold] = run.predictions[0]
        return self._scored(runs, done), fitted

    def _over(self) -> bool:
        return self.enough is not None and self.enough()

    def _known(self, candidate: Candidate) -> Evaluated | None:
        """The result of all folds if each of them was run before; runs nothing."""
        if (done := self._done.get(candidate.tree)) is not None and done.complete:
            return done
        runs: dict[int, Evaluation] = {}
        for fold in self._gain_test.order:
            last = fold == len(self._folds) - 1
            run = self._runner.known(candidate, self._folds[fold], describe=not runs, probe=last)
            if run is None or run.status is not Status.ok:
                return None
            runs[fold] = run
        return self._scored(
            list(runs.values()), {fold: run.predictions[0] for fold, run in runs.items()}
        )

    def _scored(self, runs: Sequence[Evaluation], done: Mapping[int, Predictions]) -> Evaluated:
        last = len(self._folds) - 1
        by_fold, holdout = [done[fold] for fold in range(last) if fold in done], done.get(last)
        out_of_fold = pooled(by_fold) if by_fold else None
        return Evaluated(
            status=Status.ok,
            stage=runs[-1].stage,
            cv=None if out_of_fold is None else self._score_folds(out_of_fold),
            holdout=None if holdout is None else self._score_holdout(holdout),
            out_of_fold=out_of_fold,
            holdout_predictions=holdout,
            description=runs[0].description,
            seconds=sum(run.seconds for run in runs),
            cpu_seconds=sum(run.cpu_seconds for run in runs),
            isolation=runs[0].isolation,
            stopped_after=len(done) if len(done) <= last else None,
        )
