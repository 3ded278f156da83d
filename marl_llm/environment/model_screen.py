"""`analyze models`: how the families of estimators do at their defaults, on a few folds of
development rows, within a time limit each. What it finds is ranked, told in few words, and kept for
the rest of the episode.

On small data the folds are those of the cross-validation, so what is proposed later is half
evaluated. On larger data a sample is drawn. Hold-out and test rows are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.evaluator import Evaluator
from marl_llm.environment.fold_runner import KeyedFold
from marl_llm.proposals import PipelineSpec, generate_code
from marl_llm.proposals.text import call
from marl_llm.sandbox import Evaluation, Limits, Status

_LEAST = 2
"""Folds that give a spread."""
LEFT_OUT = "left out: no time"


@dataclass(frozen=True)
class Screened:
    """One family.

    Attributes
    ----------
    spec : PipelineSpec
        The solution it stands for.
    score, spread : float or None
        Mean and standard deviation of the folds' scores (skill); None where it failed.
    seconds : float
        Processor time it took.
    problem : str
        Why it has no score, "" if it has.
    """

    spec: PipelineSpec
    score: float | None
    spread: float
    seconds: float
    problem: str = ""

    def line(self) -> str:
        """The family as the Data Scientist reads it: its call as a proposal would write it, score
        and spread.
        """
        name = call(self.spec.estimator, self.spec.params)
        prepared = f" {self.spec.encode}" if self.spec.encode != "ordinal" else ""
        found = self.problem if self.score is None else f"{self.score:.2f} sd {self.spread:.2f}"
        return f"{name}{prepared} {found}"


@dataclass(frozen=True)
class ModelScreen:
    """What the screening found: families from best to worst, those that failed last."""

    found: tuple[Screened, ...]

    @property
    def ranked(self) -> tuple[Screened, ...]:
        """Those that ran, best first."""
        return tuple(one for one in self.found if one.score is not None)

    @property
    def seconds(self) -> float:
        """Processor time of all of them."""
        return sum(one.seconds for one in self.found)

    def lines(self, most: int) -> tuple[str, ...]:
        """The best of them, one line each. What a proposal of the model alone would not give, a
        calibrated one, is left out; a blend may still be made of it.
        """
        return tuple(one.line() for one in self.ranked if one.spec.calibration is None)[:most]

    def told(self, most: int) -> tuple[str, ...]:
        """What the Data Scientist is told: the lines, or one sentence where nothing ran."""
        failed = next((one for one in self.found if one.score is None), None)
        why = (
            f"none of {len(self.found)} families runs on this data ({failed.problem})"
            if failed
            else "no family fits"
        )
        return self.lines(most) or (why,)


def screen_models(
    evaluator: Evaluator,
    specs: Sequence[PipelineSpec],
    config: EnvironmentConfig,
    limits: Limits,
    slots: int,
    seed: int,
    enough: Callable[[], bool] = lambda: False,
) -> ModelScreen:
    """Screen solutions.

    Parameters
    ----------
    evaluator : Evaluator
        Of the task; its cache keeps what is fitted.
    specs : sequence of PipelineSpec
    config : EnvironmentConfig
        `screen_rows`, `screen_folds`, `screen_s`.
    limits : Limits
        Of the sandbox; only the time is tightened.
    slots : int
        How many are run at once.
    seed : int
        Of the sample on larger data.
    enough : callable
        Asked before each family; True leaves out the rest (a budget that is spent).
    """
    tight = replace(
        limits,
        wall_s=min(limits.wall_s, config.screen_s),
        cpu_s=max(1, min(limits.cpu_s, round(config.screen_s))),
    )
    folds, own = _folds(evaluator, config, seed)

    def one(spec: PipelineSpec) -> Screened:
        if enough():
            return Screened(spec, None, 0.0, 0.0, LEFT_OUT)
        runs = evaluator.screen(generate_code(spec), [fold for fold, _ in folds], tight)
        return _screened(evaluator, spec, runs, [y for _, y in folds])

    try:
        with ThreadPoolExecutor(max(1, slots)) as pool:
            found = list(pool.map(one, specs))
    finally:
        for fold, _ in folds if not own else ():
            fold.fold.close()
    return ModelScreen(
        tuple(sorted(found, key=lambda s: -np.inf if s.score is None else s.score, reverse=True))
    )


def _folds(
    evaluator: Evaluator, config: EnvironmentConfig, seed: int
) -> tuple[list[tuple[KeyedFold, np.ndarray]], bool]:
    """Folds to screen on with the targets of their validation rows, and whether they are the
    evaluator's own.
    """
    rows = len(evaluator.task.development)
    if rows <= config.screen_rows:
        return evaluator.own_folds(config.screen_folds), True
    drawn = np.random.default_rng(seed).choice(rows, config.screen_rows, replace=False)
    parts = np.array_split(drawn, max(_LEAST, config.screen_folds) + 1)
    folds = []
    for i in range(config.screen_folds):
        train = np.concatenate([part for j, part in enumerate(parts) if j != i])
        folds.append(evaluator.fold_of(np.sort(train), np.sort(parts[i])))
    return folds, False


def _screened(
    evaluator: Evaluator,
    spec: PipelineSpec,
    runs: Sequence[Evaluation],
    labels: Sequence[np.ndarray],
) -> Screened:
    seconds = sum(run.cpu_seconds for run in runs)
    if not runs or runs[-1].status is not Status.ok:
        last = runs[-1] if runs else None
        problem = (
            "out of time" if last and last.status in (Status.timeout, Status.cpu_limit) else "fails"
        )
        return Screened(spec, None, 0.0, seconds, problem)
    scores = [
        evaluator.scores(y, run.predictions[0]).score for y, run in zip(labels, runs, strict=True)
    ]
    return Screened(spec, float(np.mean(scores)), float(np.std(scores)), seconds)
