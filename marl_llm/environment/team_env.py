"""`TeamEnv`: the environment of one task. It reads suggestions, runs code, judges steps; it knows no model and no
trainer.

States are immutable and passed in, so a rollout may branch wherever it likes. The current solution is always a typed
spec and its canonical code: an implementation that behaves like the reference is the reference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from marl_llm.environment.analysis import answer
from marl_llm.environment.card import TaskCard, describe_task
from marl_llm.environment.compliance import clause_compliance, same_behaviour
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.evaluator import Evaluated, Evaluator, same_code
from marl_llm.environment.memory import Memory, Verdict
from marl_llm.environment.state import Implementation, State, StepOutcome, Suggestion, advance
from marl_llm.errors import RunFailed
from marl_llm.metrics import Comparison, Scores, corrected_resampled_t, paired_bootstrap
from marl_llm.proposals import (
    Analyze,
    Finish,
    InvalidAction,
    PipelineSpec,
    apply,
    baseline,
    canonical,
    generate_code,
    parse_action,
    resolve_columns,
)
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task


class TeamEnv:
    """One task, ready to be improved.

    Parameters
    ----------
    task : Task
        Data in three parts, target and metrics.
    sandbox : Sandbox
        Runs every candidate; several environments may share it.
    config : EnvironmentConfig
        Steps, folds, significance.
    seed : int
        Seeds folds, resamples and the sandbox's random state.
    """

    def __init__(self, task: Task, sandbox: Sandbox, config: EnvironmentConfig | None = None, seed: int = 0) -> None:
        self.task, self.config, self.seed = task, config or EnvironmentConfig(), seed
        self.card: TaskCard = describe_task(task)
        self._context = self.card.context()
        self.evaluator = Evaluator(task, sandbox, cv_folds=self.config.cv_folds, seed=seed)

    def reset(self) -> State:
        """The first state: the baseline, evaluated. Raises RunFailed if the data defeat even the baseline."""
        spec = baseline(self.task.kind)
        code = generate_code(spec)
        result = self.evaluator.evaluate(code)
        if not result.ok:
            why = result.error or result.status
            raise RunFailed(f"{self.task.name}: the baseline does not run on this data: {why}")
        return State(spec, code, result, Memory())

    def read(self, state: State, reply: str) -> Suggestion:
        """Parse and check a Data Scientist's reply against the data and the current solution."""
        try:
            action = resolve_columns(parse_action(reply), self._context)
        except InvalidAction as error:
            return Suggestion(" ".join(reply.split())[:60], problem=str(error))
        text = canonical(action)
        if isinstance(action, Analyze | Finish):
            return Suggestion(text, action)
        try:
            spec = apply(action, state.spec, self._context)
        except InvalidAction as error:
            return Suggestion(" ".join(text.split())[:120], problem=str(error))
        return Suggestion(text, action, spec, redundant=spec == state.spec or state.memory.tried(spec))

    def analyze(self, state: State, query: Analyze) -> str:
        """Answer a typed query from development rows and the current model's out-of-fold predictions."""
        return answer(query, self.task, state.evaluated.out_of_fold, self.evaluator.out_of_fold_labels)

    def run(self, code: str) -> Evaluated:
        """Run an Engineer's code. Blocks."""
        return self.evaluator.evaluate(code)

    def reference(self, spec: PipelineSpec) -> Evaluated:
        """Run the reference implementation of a solution, through the same sandbox. Blocks."""
        return self.evaluator.evaluate(generate_code(spec))

    def compare(self, before: Evaluated, after: Evaluated) -> Comparison | None:
        """Paired test of `after` against `before`; None unless both ran."""
        if before.holdout_predictions is None or after.holdout_predictions is None:
            return None
        config, task = self.config, self.task
        if config.significance == "corrected_resampled_t":
            return self._compare_folds(before, after)
        return paired_bootstrap(
            task.metrics, task.holdout.y, before.holdout_predictions, after.holdout_predictions,
            self.evaluator.reference, level=config.level, n_resamples=config.resamples, seed=self.seed,
        )  # fmt: skip

    def _compare_folds(self, before: Evaluated, after: Evaluated) -> Comparison:
        n, k = len(self.task.development.y), self.config.cv_folds
        differences = [
            self.evaluator.fold_score(after, a, b) - self.evaluator.fold_score(before, a, b)
            for a, b in self.evaluator.fold_bounds
        ]
        return corrected_resampled_t(np.array(differences), n - n // k, n // k, level=self.config.level)

    def judge(self, state: State, suggestion: Suggestion, implementation: Implementation | None = None) -> StepOutcome:
        """What one suggestion, and one implementation of it, came to. Blocks while the reference runs."""
        if not suggestion.valid:
            return StepOutcome(suggestion, None, None, Verdict.invalid)
        if isinstance(suggestion.action, Finish):
            return StepOutcome(suggestion, None, None, Verdict.finished)
        if not suggestion.to_implement or suggestion.spec is None:
            return StepOutcome(suggestion, None, None, Verdict.redundant)
        reference = self.reference(suggestion.spec)
        outcome = StepOutcome(
            suggestion, implementation, reference, Verdict.failed,
            reference_comparison=self.compare(state.evaluated, reference),
        )  # fmt: skip
        if implementation is None:
            return outcome
        if not reference.ok and same_code(implementation.code, generate_code(suggestion.spec)):
            return replace(outcome, verdict=Verdict.no_gain, compliance=1.0)  # what was asked for cannot run
        if not implementation.evaluated.ok:
            return outcome
        return self._judge_result(state, outcome, implementation)

    def _judge_result(self, state: State, outcome: StepOutcome, implementation: Implementation) -> StepOutcome:
        result, reference, spec = implementation.evaluated, outcome.reference, outcome.suggestion.spec
        assert reference is not None and spec is not None
        if same_behaviour(result, reference):
            compliance = 1.0
        else:
            compliance = clause_compliance(implementation.code, result.description, state.spec, spec)
        comparison = self.compare(state.evaluated, result)
        if compliance < 1:
            verdict = Verdict.not_as_asked
        else:
            verdict = Verdict.accepted if comparison is not None and comparison.significant else Verdict.no_gain
        return replace(outcome, verdict=verdict, compliance=compliance, comparison=comparison)

    def advance(self, state: State, outcome: StepOutcome) -> State:
        """The next state of the episode."""
        spec = outcome.suggestion.spec
        after = advance(state, outcome, generate_code(spec) if spec else None)
        return after if after.step < self.config.steps else State(**{**vars(after), "finished": True})

    def test_scores(self, state: State) -> Scores | None:
        """Scores on the test part: for reports, once, at the end."""
        return self.evaluator.test_scores(state.code)

    def close(self) -> None:
        """Release the task's memory."""
        self.evaluator.close()
