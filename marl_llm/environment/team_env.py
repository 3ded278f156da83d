"""`TeamEnv`: the environment of one task. It reads suggestions, runs code, judges steps; it knows no model and no
trainer.

States are immutable and passed in, so a rollout may branch wherever it likes. The current solution is always a typed
spec and its canonical code: an implementation that behaves like the reference is the reference.
"""

from __future__ import annotations

from dataclasses import replace

from marl_llm.environment.analysis import answer
from marl_llm.environment.analysis.current import current_view
from marl_llm.environment.card import TaskCard, describe_task
from marl_llm.environment.compliance import Case, compliance, says_the_same
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.evaluator import Evaluated, Evaluator
from marl_llm.environment.memory import Memory, TokenCounter, Verdict, rough_tokens
from marl_llm.environment.search import search_region
from marl_llm.environment.state import Implementation, State, StepOutcome, Suggestion, advance
from marl_llm.errors import RunFailed
from marl_llm.metrics import Comparison, Scores
from marl_llm.proposals import (
    Analyze,
    Finish,
    InvalidAction,
    PipelineSpec,
    Proposal,
    Tune,
    apply,
    baseline,
    canonical,
    check_region,
    effective,
    fits,
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
        self._sandbox = sandbox
        self.evaluator = Evaluator(task, sandbox, self.config, seed=seed)

    def reset(self, memory: Memory | None = None) -> State:
        """The first state: the baseline, evaluated; `memory` of an earlier episode on the same data is carried on.

        Raises RunFailed if the data defeat even the baseline.
        """
        spec = baseline(self.task.kind)
        code = generate_code(spec)
        result = self.evaluator.evaluate(code)
        if not result.ok:
            why = result.error or result.status
            raise RunFailed(f"{self.task.name}: the baseline does not run on this data: {why}")
        return State(spec, code, result, self._fitting(memory or Memory()))

    def _fitting(self, memory: Memory) -> Memory:
        """The memory with solutions of these columns and this kind of target only; other lines stay as text."""
        entries = (
            e if e.spec is None or fits(e.spec, self._context) else replace(e, spec=None) for e in memory.entries
        )
        return Memory(tuple(entries))

    def read(self, state: State, reply: str) -> Suggestion:
        """Parse and check a Data Scientist's reply against the data and the current solution."""
        try:
            action = resolve_columns(parse_action(reply), self._context)
            text = _writable(canonical(action))
        except InvalidAction as error:
            return Suggestion(_writable(" ".join(reply.split())[:60]), problem=_writable(str(error)))
        if isinstance(action, Analyze | Finish):
            return Suggestion(text, action)
        try:
            return self._asked(state, action, text)
        except InvalidAction as error:
            return Suggestion(" ".join(text.split())[:120], problem=_writable(str(error)))

    def _asked(self, state: State, action: Proposal, text: str) -> Suggestion:
        if isinstance(action, Tune) and action.regions:
            check_region(action, state.spec, self._context)
            return Suggestion(text, action)
        spec = apply(action, state.spec, self._context, state.memory.solutions())
        return Suggestion(text, action, spec, redundant=self._answered(state, spec))

    def _answered(self, state: State, spec: PipelineSpec) -> bool:
        """True if nothing would change, or memory already answers it."""
        same = self._effective(spec) == self._effective(state.spec)
        return same or state.memory.tried(spec, self._effective)

    def _effective(self, spec: PipelineSpec) -> PipelineSpec:
        return effective(spec, self._context)

    @property
    def search_seed(self) -> int:
        """Seed of the settings a search tries: with one seed, other settings on other data."""
        return self.seed + int(self.task.key, 16)

    def resolve(self, state: State, suggestion: Suggestion) -> Suggestion:
        """A `tune` with regions as one with the values that a search on the development part found; anything else as it
        is. Blocks while candidates run.
        """
        if not suggestion.to_search:
            return suggestion
        found = search_region(
            suggestion.action, state.spec, self.evaluator.cross_validate, self.search_seed, self.config.search_settings
        )
        return self._asked(state, found, canonical(found))

    def analyze(self, state: State, query: Analyze, count: TokenCounter = rough_tokens) -> str:
        """Answer a query from development rows and the current model, in at most `analysis_tokens` tokens. May block: a
        snippet and permutation importance run in the sandbox.
        """
        budget = self.config.analysis_tokens
        return answer(query, current_view(self.evaluator, self._sandbox, state, self.seed, budget, count))

    def run(self, code: str, against: Evaluated | None = None) -> Evaluated:
        """Run an Engineer's code; `against` the current model folds may be left out (early stopping). Blocks."""
        return self.evaluator.evaluate(code, against)

    def reference(self, spec: PipelineSpec, against: Evaluated | None = None) -> Evaluated:
        """Run the reference implementation of a solution, through the same sandbox, as `run` does. Blocks."""
        return self.evaluator.evaluate(generate_code(spec), against)

    def compare(self, before: Evaluated, after: Evaluated) -> Comparison | None:
        """Paired test of `after` against `before`; None unless both ran."""
        return self.evaluator.compare(before, after)

    def judge(self, state: State, suggestion: Suggestion, implementation: Implementation | None = None) -> StepOutcome:
        """What one suggestion, and one implementation of it, came to. Blocks while the reference runs."""
        if not suggestion.valid:
            return StepOutcome(suggestion, None, None, Verdict.invalid)
        if isinstance(suggestion.action, Finish):
            return StepOutcome(suggestion, None, None, Verdict.finished)
        if not suggestion.to_implement or suggestion.spec is None:
            return StepOutcome(suggestion, None, None, Verdict.redundant)
        reference = self.reference(suggestion.spec, state.evaluated)
        outcome = StepOutcome(
            suggestion, implementation, reference, Verdict.failed, credited=state.credited,
            reference_comparison=self.compare(state.evaluated, reference),
        )  # fmt: skip
        if implementation is None:
            return outcome
        if not reference.ok and says_the_same(implementation.code, suggestion.spec):
            return replace(outcome, verdict=Verdict.no_gain, compliance=1.0)  # what was asked for cannot run
        if not implementation.evaluated.ok:
            return outcome
        return self._judge_result(state, outcome, implementation)

    def _judge_result(self, state: State, outcome: StepOutcome, implementation: Implementation) -> StepOutcome:
        result, reference, spec = implementation.evaluated, outcome.reference, outcome.suggestion.spec
        assert reference is not None and spec is not None
        comparison = self.compare(state.evaluated, result)
        if comparison is not None and comparison.significant:
            reference = self.reference(spec)  # with all its folds: it may become the current model
        share = compliance(
            Case(
                implementation.code, result, reference, state.evaluated, state.spec, spec,
                lambda: self.evaluator.agree_elsewhere(implementation.code, generate_code(spec)),
            )
        )  # fmt: skip
        if share < 1:
            verdict = Verdict.not_as_asked
        else:
            verdict = Verdict.accepted if comparison is not None and comparison.significant else Verdict.no_gain
        return replace(outcome, verdict=verdict, compliance=share, comparison=comparison, reference=reference)

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


def _writable(text: str) -> str:
    """Text that can be stored as UTF-8."""
    return text.encode("utf-8", "replace").decode()
