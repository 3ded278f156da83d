"""Is a candidate better than the current model, and when is that decided? One rule for steps and
for stopping folds.

Folds are numbered 0 to k - 1 (cross-validation) and k (the hold-out, fitted on all development
rows). They are run in an order that decides early. Under `paired_bootstrap` the hold-out decides,
so it comes first, and a candidate without a significant gain on it needs no cross-validation (an
exact stop); one with such a gain is accepted unless the folds show a loss. Under
`corrected_resampled_t` the folds of the cross-validation come first and may end by
`metrics.sequential`. Only hopeless candidates are stopped: whatever is accepted has all its folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.evaluated import Evaluated, some_rows
from marl_llm.metrics import (
    Comparison,
    Reference,
    corrected_resampled_t,
    paired_bootstrap,
    score_predictions,
)
from marl_llm.metrics.sequential import is_hopeless
from marl_llm.tasks import Task


@dataclass(frozen=True, eq=False)
class Truth:
    """What predictions of each fold are scored with.

    Attributes
    ----------
    metrics : mapping of scorer name to weight
    reference : Reference
    labels : tuple of ndarray
        Targets of the validation rows of fold 0, 1, ... k - 1, and of the hold-out.
    sizes : (int, int)
        Mean number of training and of validation rows of the k folds.
    """

    metrics: Mapping[str, float]
    reference: Reference
    labels: tuple[np.ndarray, ...]
    sizes: tuple[int, int]

    def score(self, fold: int, predictions: Predictions) -> float:
        """Score of predictions of one fold."""
        return score_predictions(self.metrics, self.labels[fold], predictions, self.reference).score


class GainTest:
    """The paired test of a gain, and the rule that ends an evaluation early.

    Parameters
    ----------
    truth : Truth
    config : EnvironmentConfig
        Test, level, resamples, early stopping.
    seed : int
        Of the bootstrap's resamples.
    """

    def __init__(self, truth: Truth, config: EnvironmentConfig, seed: int) -> None:
        self._truth, self._config, self._seed = truth, config, seed
        self._k = len(truth.labels) - 1
        self._bounds = np.cumsum([0, *map(len, truth.labels[:-1])]).tolist()

    @property
    def order(self) -> list[int]:
        """The folds in the order in which they are run."""
        folds = list(range(self._k))
        return [*folds, self._k] if self._on_folds else [self._k, *folds]

    def compare(self, before: Evaluated, after: Evaluated) -> Comparison | None:
        """Paired test of `after` against `before`.

        None where one of them has no predictions to compare. Of an evaluation that was stopped
        among the folds of the cross-validation the gain is the mean of those done, with p-value 1
        and without an interval.
        """
        if self._on_folds:
            return self._compare_folds(before, after)
        if before.holdout_predictions is None or after.holdout_predictions is None:
            return None
        found = self._compare_holdout(before.holdout_predictions, after.holdout_predictions)
        return self._unless_contradicted(found, before, after)

    def _unless_contradicted(
        self, found: Comparison, before: Evaluated, after: Evaluated
    ) -> Comparison:
        """A gain on the hold-out that the folds show to be a loss is no gain: one of the two is an
        accident.
        """
        if not found.significant or not before.complete or not after.complete:
            return found
        assert before.out_of_fold is not None and after.out_of_fold is not None
        truth, config = self._truth, self._config
        folds = paired_bootstrap(
            truth.metrics,
            np.concatenate(truth.labels[:-1]),
            before.out_of_fold,
            after.out_of_fold,
            truth.reference,
            level=config.level,
            n_resamples=config.resamples,
            seed=self._seed,
        )
        return found.contradicted_by(folds)

    def hopeless(self, before: Evaluated, done: Mapping[int, Predictions]) -> bool:
        """Whether the folds done so far decide that there is no significant gain over `before`.

        False where `before` lacks the predictions to compare with.
        """
        if not before.complete or not done:
            return False
        if not self._on_folds:
            assert before.holdout_predictions is not None
            return (
                self._k in done
                and not self._compare_holdout(before.holdout_predictions, done[self._k]).significant
            )
        folds = [fold for fold in range(self._k) if fold in done]
        differences = self._differences(before, {fold: done[fold] for fold in folds})
        if len(folds) == self._k:
            return not corrected_resampled_t(
                differences, *self._truth.sizes, level=self._config.level
            ).significant
        error = self._config.early_stop_error
        return is_hopeless(
            differences, self._k, *self._truth.sizes, level=self._config.level, error=error
        )

    @property
    def _on_folds(self) -> bool:
        return self._config.significance == "corrected_resampled_t"

    def _compare_holdout(self, before: Predictions, after: Predictions) -> Comparison:
        truth, config = self._truth, self._config
        return paired_bootstrap(
            truth.metrics,
            truth.labels[self._k],
            before,
            after,
            truth.reference,
            level=config.level,
            n_resamples=config.resamples,
            seed=self._seed,
        )

    def _compare_folds(self, before: Evaluated, after: Evaluated) -> Comparison | None:
        if not before.complete or after.out_of_fold is None:
            return None
        differences = self._differences(before, self._by_fold(after.out_of_fold))
        if len(differences) < self._k:
            return Comparison(float(differences.mean()), 1.0, -np.inf, np.inf, False)
        return corrected_resampled_t(differences, *self._truth.sizes, level=self._config.level)

    def _differences(self, before: Evaluated, after: Mapping[int, Predictions]) -> np.ndarray:
        """Score after minus score before of each fold in `after`."""
        assert before.out_of_fold is not None
        start = self._by_fold(before.out_of_fold)
        score = self._truth.score
        return np.array(
            [score(fold, one) - score(fold, start[fold]) for fold, one in after.items()]
        )

    def _by_fold(self, out_of_fold: Predictions) -> dict[int, Predictions]:
        """Pooled predictions of the first folds, fold by fold."""
        edges = zip(self._bounds[:-1], self._bounds[1:], strict=True)
        return {
            fold: some_rows(out_of_fold, a, b)
            for fold, (a, b) in enumerate(edges)
            if b <= len(out_of_fold)
        }


def truth_of(
    task: Task, reference: Reference, splits: Sequence[tuple[np.ndarray, np.ndarray]]
) -> Truth:
    """What a task's folds and hold-out are scored on; `splits`: positions (train, valid)."""
    labels = *(task.development.y[valid] for _, valid in splits), task.holdout.y
    train, valid = (sum(map(len, parts)) // len(splits) for parts in zip(*splits, strict=True))
    return Truth(task.metrics, reference, labels, (train, valid))
