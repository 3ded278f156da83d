"""From a solution's code to what is reported of it: hold-out and test score, raw metrics, a paired
test.

The test part is read here and nowhere else: the final solution is fitted on development and
hold-out rows and predicts the test rows once. Code runs in the sandbox; equal code on one trial
runs once, so the baseline is shared by all arms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from marl_llm.core.errors import RunFailed
from marl_llm.core.predictions import Predictions
from marl_llm.environment import EnvironmentConfig, Evaluated, Evaluator
from marl_llm.evaluation.costs import Cost
from marl_llm.evaluation.fixed import start_of
from marl_llm.evaluation.report import Result
from marl_llm.evaluation.trials import Trial
from marl_llm.metrics import Comparison, Reference, Scores, paired_bootstrap, score_predictions
from marl_llm.proposals import PipelineSpec, generate_code, prelude_for
from marl_llm.rollout.summary import EpisodeSummary
from marl_llm.sandbox import Fold, SandboxPool, Status
from marl_llm.tasks import Task


@dataclass(frozen=True)
class TestRun:
    """A solution on the test part: its predictions, or why there are none, and what fitting it for
    them cost.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    predictions: Predictions | None
    error: str = ""
    cost: Cost = field(default_factory=lambda: Cost(0.0, 0.0))


class Bench:
    """Scores solutions.

    Parameters
    ----------
    sandbox : SandboxPool
    config : EnvironmentConfig
        Folds and bootstrap resamples.
    seed : int
        The comparison's; each trial derives its own.
    """

    def __init__(self, sandbox: SandboxPool, config: EnvironmentConfig, seed: int) -> None:
        self._sandbox, self._config, self._seed = sandbox, config, seed
        self._tests: dict[tuple[str, str], TestRun] = {}

    def fixed(self, arm: str, trial: Trial, task: Task, code: str) -> Result:
        """Result of an arm without a team; a solution that does not run leaves its error."""
        start = generate_code(start_of(task))
        evaluator = Evaluator(task, self._sandbox, self._config, seed=trial.seed(self._seed))
        try:
            before, after = evaluator.evaluate(start), evaluator.evaluate(code)
        finally:
            evaluator.close()
        missing = Result(
            arm=arm, trial=trial.name, task=trial.task, repeat=trial.repeat, kind=str(task.kind)
        )
        for evaluated in (after, before):
            if evaluated.holdout is None:
                return missing.model_copy(update={"error": f"does not run: {_reason(evaluated)}"})
        assert before.holdout is not None and after.holdout is not None
        holdout, gain = after.holdout.score, after.holdout.score - before.holdout.score
        known = missing.model_copy(update={"holdout": holdout, "holdout_gain": gain})
        return self.with_test(known, trial, task, code, Cost(after.cpu_seconds, after.seconds))

    def with_test(
        self, result: Result, trial: Trial, task: Task, code: str, spent: Cost | None = None
    ) -> Result:
        """The result with its test scores, its test gain over the baseline on the same rows, and
        its cost.

        `spent` is what it took to find the solution, None where that is not known; the final fit is
        added here.
        """
        fitted = self._test(trial, task, code)
        if spent is not None:
            spent += fitted.cost
            result = result.model_copy(
                update={"cpu_s": round(spent.cpu_s, 3), "wall_s": round(spent.wall_s, 3)}
            )
        return self.judged(result, trial, task, fitted)

    def judged(self, result: Result, trial: Trial, task: Task, after: TestRun) -> Result:
        """The result with the scores of predictions of the test part, and their gain over the
        baseline's.
        """
        start = self._test(trial, task, generate_code(start_of(task)))
        if after.predictions is None or start.predictions is None:
            return result.model_copy(
                update={"error": f"no test score: {after.error or start.error}"}
            )
        scores = self._scores(task, after.predictions)
        gain = self._compare(trial, task, start.predictions, after.predictions)
        return result.model_copy(
            update={
                "test": scores.score,
                "raw": scores.raw,
                "gain": gain.gain,
                "low": gain.low,
                "high": gain.high,
            }
        )

    def score(self, task: Task, predictions: Predictions) -> float:
        """Score of predictions of the test part."""
        return self._scores(task, predictions).score

    def _test(self, trial: Trial, task: Task, code: str) -> TestRun:
        key = (trial.name, code)
        if key not in self._tests:
            self._tests[key] = self._run_test(task, code, trial.seed(self._seed))
        return self._tests[key]

    def _run_test(self, task: Task, code: str, seed: int) -> TestRun:
        X = pd.concat([task.development.X, task.holdout.X], ignore_index=True)
        y = np.concatenate([task.development.y, task.holdout.y])
        classes = len(task.classes) if task.kind.is_classification else None
        with Fold.prepare(X, y, task.test.X, n_classes=classes, seed=seed) as fold:
            done = self._sandbox.evaluate(code, [fold], prelude=prelude_for(code), seed=seed)
        cost = Cost(done.cpu_seconds, done.seconds)
        if done.status is not Status.ok:
            return TestRun(None, done.error or str(done.status), cost)
        return TestRun(done.predictions[0], cost=cost)

    def _scores(self, task: Task, predictions: Predictions) -> Scores:
        return score_predictions(task.metrics, task.test.y, predictions, _reference(task))

    def _compare(
        self, trial: Trial, task: Task, before: Predictions, after: Predictions
    ) -> Comparison:
        if before is after:
            return Comparison(0.0, 1.0, 0.0, 0.0, False)
        return paired_bootstrap(
            task.metrics,
            task.test.y,
            before,
            after,
            _reference(task),
            n_resamples=self._config.resamples,
            seed=trial.seed(self._seed),
        )


def final_code(summary: EpisodeSummary) -> str:
    """Code of the solution an episode ended with, a blend that `finish` delivered included.

    Raises
    ------
    RunFailed
        An older version played the episode and did not keep its solution.
    """
    if summary.solution is None:
        raise RunFailed(
            f"{summary.task}: an older version played this episode: evaluate anew, with "
            "another --out."
        )
    return generate_code(PipelineSpec.model_validate(summary.solution))


def _reference(task: Task) -> Reference:
    return Reference.from_labels(task.development.y, task.kind, classes=task.classes)


def _reason(evaluated: Evaluated) -> str:
    return evaluated.error or str(evaluated.status)
