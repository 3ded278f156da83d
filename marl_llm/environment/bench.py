"""Environment steps per second: cold, warm and cached, beside the same work without a sandbox.

One step reads a proposal (a new value of C), runs its code on all folds and judges it against the
current model, on scikit-learn's breast cancer data. *Cold* starts sandbox and environment for it;
*warm* has both; *cached* asks for a solution again, in memory or from the file another environment
wrote. The same folds are fitted, scored and compared *in-process*, and in a *fresh interpreter* for
each evaluation. Methods take turns, so that a busy machine slows all of them; rates are of the
median round.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from marl_llm.core.predictions import Predictions
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.evaluated import Evaluated
from marl_llm.environment.state import Implementation, State, StepOutcome
from marl_llm.environment.team_env import TeamEnv
from marl_llm.proposals import PRELUDE, PipelineSpec, compile, generate_code
from marl_llm.sandbox import Sandbox, Stage, Status
from marl_llm.tasks import Task

IN_PROCESS, FRESH = "in-process", "fresh interpreter"
_REPEATS = 4  # steps of a cheap method in each round
_SCRIPT = """
import sys
import joblib
job = joblib.load(sys.argv[1])
exec(job["code"])
predictions = []
for X_train, y_train, X_valid in job["folds"]:
    model = build_pipeline().fit(X_train, y_train)
    predictions.append((model.predict(X_valid), model.predict_proba(X_valid)))
joblib.dump(predictions, sys.argv[2])
"""


@dataclass(frozen=True)
class Rate:
    """Steps per second of one method, and how many times as many as in-process and in a fresh
    interpreter.
    """

    method: str
    steps_per_s: float
    to_in_process: float
    to_fresh: float


def benchmark(rounds: int) -> list[Rate]:
    """Time every method, interleaved; the median round counts.

    Parameters
    ----------
    rounds : int
        How often each method gets its turn.

    Returns
    -------
    list of Rate
        Sorted as in the module's description.
    """
    with tempfile.TemporaryDirectory() as folder, _Methods.open(Path(folder)) as methods:
        seconds: dict[str, list[float]] = {name: [] for name in methods.all()}
        for number in range(rounds):
            for name, (step, repeats) in methods.all().items():
                work = [methods.suggestion(number * _REPEATS + i) for i in range(repeats)]
                seconds[name].append(_time(step, work))
    rates = {name: 1 / statistics.median(times) for name, times in seconds.items()}
    return [
        Rate(name, rate, rate / rates[IN_PROCESS], rate / rates[FRESH])
        for name, rate in rates.items()
    ]


def _time(step: Callable[[str], object], work: list[str]) -> float:
    start = time.perf_counter()
    for text in work:
        step(text)
    return (time.perf_counter() - start) / len(work)


@dataclass(frozen=True)
class _Methods:
    """What a step can be timed with; `warm` writes the file that `disk` reads."""

    folder: Path
    task: Task
    warm: TeamEnv
    disk: TeamEnv
    stopping: TeamEnv
    state: State
    kept: dict[str, StepOutcome]

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[_Methods]:
        """Sandbox and environments, started and with the baseline evaluated."""
        task, file = _task(), str(folder / "evaluations.sqlite")
        configs = (
            EnvironmentConfig(cache=file),
            EnvironmentConfig(cache=file),
            EnvironmentConfig(early_stop=True),
        )
        with ExitStack() as stack:
            sandbox = stack.enter_context(Sandbox(slots=1))
            warm, disk, stopping = (
                stack.enter_context(closing(TeamEnv(task, sandbox, one))) for one in configs
            )
            state = warm.reset()
            yield cls(folder, task, warm, disk, stopping, state, {})

    def all(self) -> dict[str, tuple[Callable[[str], object], int]]:
        """Each method: a step by the text of its proposal, and how many make a round."""
        return {
            "cold": (self._cold, 1),
            "warm": (self._warm, _REPEATS),
            "warm, folds stopped early": (
                lambda text: _step(self.stopping, self.state, text),
                _REPEATS,
            ),
            "cached in memory": (lambda text: _step(self.warm, self.state, text), _REPEATS),
            "cached on disk": (lambda text: _step(self.disk, self.state, text), _REPEATS),
            IN_PROCESS: (self._in_process, _REPEATS),
            FRESH: (self._fresh, 1),
        }

    @staticmethod
    def suggestion(number: int) -> str:
        """A proposal that was not made before."""
        return f"tune C={0.5 + number / 1000}"

    def _cold(self, text: str) -> None:
        with Sandbox(slots=1) as sandbox, closing(TeamEnv(self.task, sandbox)) as env:
            _step(env, env.reset(), text)

    def _warm(self, text: str) -> None:
        self.kept[text] = _step(self.warm, self.state, text)

    def _in_process(self, text: str) -> None:
        spec = self._spec(text)
        with threadpool_limits(1):  # like the others
            models = [(compile(spec).fit(X, y), valid) for X, y, valid in self._folds()]
            found = [
                Predictions(model.predict(valid), model.predict_proba(valid))
                for model, valid in models
            ]
        self._judge(found)

    def _fresh(self, text: str) -> None:
        job, answer = self.folder / "job.joblib", self.folder / "answer.joblib"
        joblib.dump(
            {"code": PRELUDE + generate_code(self._spec(text)), "folds": self._folds()}, job
        )
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(job), str(answer)], check=True, env=environment
        )
        self._judge([Predictions(*one) for one in joblib.load(answer)])

    def _spec(self, text: str) -> PipelineSpec:
        spec = self.warm.read(self.state, text).spec
        assert spec is not None
        return spec

    def _folds(self) -> list[tuple[pd.DataFrame, np.ndarray, pd.DataFrame]]:
        part = self.task.development
        splits = self.task.cv_folds(self.warm.config.cv_folds, self.warm.seed)
        folds = [(part.X.iloc[a], part.y[a], part.X.iloc[b]) for a, b in splits]
        return [*folds, (part.X, part.y, self.task.holdout.X)]

    def _judge(self, found: list[Predictions]) -> None:
        """Score and compare, as a step does."""
        evaluator, (*parts, holdout) = self.warm.evaluator, found
        pooled = Predictions(
            *(np.concatenate([getattr(p, name) for p in parts]) for name in ("labels", "proba"))
        )
        evaluator.scores(evaluator.out_of_fold_labels, pooled)
        evaluator.scores(self.task.holdout.y, holdout)
        after = Evaluated(
            Status.ok, Stage.predicted, out_of_fold=pooled, holdout_predictions=holdout
        )
        evaluator.compare(self.state.evaluated, after)


def _step(env: TeamEnv, state: State, text: str) -> StepOutcome:
    suggestion = env.read(state, text)
    assert suggestion.spec is not None
    code = generate_code(suggestion.spec)
    outcome = env.judge(state, suggestion, Implementation(code, env.run(code, state.evaluated)))
    if outcome.compliance != 1:
        raise RuntimeError(f"the benchmark's own proposal {text!r} came to {outcome.verdict}")
    return outcome


def _task() -> Task:
    data = load_breast_cancer(as_frame=True)
    assert isinstance(data, Bunch)
    return Task.from_frame(data.frame, target="target", name="breast_cancer")
