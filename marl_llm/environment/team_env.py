"""`TeamEnv`: the environment of one task. It reads suggestions, runs code, judges steps; it knows
no model and no trainer.

States are immutable and passed in, so a rollout may branch wherever it likes. The current solution
is always a typed spec and its canonical code: an implementation that behaves like the reference is
the reference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from marl_llm.core.errors import RunFailed
from marl_llm.core.verdict import Verdict
from marl_llm.environment.analysis import answer
from marl_llm.environment.analysis.current import current_view
from marl_llm.environment.analysis.wording import Answer
from marl_llm.environment.cache.keys import same_code
from marl_llm.environment.card import TaskCard, describe_task
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.delivery import Evidence, Tried, choose_delivery, distinct
from marl_llm.environment.evaluator import Evaluated, Evaluator
from marl_llm.environment.judging import judge
from marl_llm.environment.looked import settled, tellable
from marl_llm.environment.memory import Memory, TokenCounter, rough_tokens
from marl_llm.environment.model_screen import ModelScreen, screen_models
from marl_llm.environment.search import search_region
from marl_llm.environment.state import (
    Implementation,
    State,
    StepOutcome,
    Suggestion,
    advance,
    remember,
)
from marl_llm.metrics import Comparison, Scores
from marl_llm.proposals import (
    Action,
    Analyze,
    Finish,
    InvalidAction,
    PipelineSpec,
    Proposal,
    Tune,
    apply,
    canonical,
    check_region,
    effective,
    fits,
    generate_code,
    read_action,
    resolve_columns,
)
from marl_llm.proposals.screened import screened_specs, starting_spec
from marl_llm.proposals.spec import BLEND
from marl_llm.sandbox import SandboxPool
from marl_llm.tasks import Task

_TRIED = 6
"""Times as many solutions of the memory as a blend has members are looked at for it."""
_SCREENED = 8
"""Families that `analyze models` tells of at most."""


class TeamEnv:
    """One task, ready to be improved.

    Parameters
    ----------
    task : Task
        Data in three parts, target and metrics.
    sandbox : SandboxPool
        Runs every candidate; several environments may share it.
    config : EnvironmentConfig
        Steps, folds, significance.
    seed : int
        Seeds folds, resamples and the sandbox's random state.
    """

    def __init__(
        self,
        task: Task,
        sandbox: SandboxPool,
        config: EnvironmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.task, self.config, self.seed = task, config or EnvironmentConfig(), seed
        self.card: TaskCard = describe_task(task)
        self._context = self.card.context()
        self._sandbox = sandbox
        self.evaluator = Evaluator(task, sandbox, self.config, seed=seed)
        self.delivers = True
        """False: `finish` is a wish to end and nothing more; who plays chooses what is delivered by
        `deliver`.
        """
        self._screen: ModelScreen | None = None
        self._screening = threading.Lock()

    def reset(self, memory: Memory | None = None) -> State:
        """The first state: the baseline, evaluated; `memory` of an earlier episode on the same data
        is carried on.

        Raises RunFailed if the data defeat even the baseline.
        """
        spec = starting_spec(self._context)
        code = generate_code(spec)
        result = self.evaluator.evaluate(code)
        if not result.ok:
            why = result.error or result.status
            raise RunFailed(f"{self.task.name}: the baseline does not run on this data: {why}")
        return State(spec, code, result, self._fitting(memory or Memory()))

    def _fitting(self, memory: Memory) -> Memory:
        """The memory with solutions of these columns and this kind of target only; other lines stay
        as text.
        """
        entries = (
            e if e.spec is None or fits(e.spec, self._context) else replace(e, spec=None)
            for e in memory.entries
        )
        return Memory(tuple(entries))

    def read(self, state: State, reply: str) -> Suggestion:
        """Read a Data Scientist's reply and check it against the data and the current solution."""
        try:
            reading = read_action(reply, self._context, state.spec.estimator)
            action = resolve_columns(reading.action, self._context)
            text = _writable(canonical(action))
        except InvalidAction as error:
            return Suggestion(_start(reply), problem=_writable(str(error)))
        suggestion = replace(self._checked(state, action, text), forgiven=reading.forgiven)
        return (
            suggestion
            if suggestion.valid or not reading.forgiven
            else replace(suggestion, text=_start(reply))
        )

    def _checked(self, state: State, action: Action, text: str) -> Suggestion:
        if isinstance(action, Finish) and not self.delivers:
            return Suggestion(text, Finish())
        if isinstance(action, Analyze | Finish):
            return Suggestion(text, action)  # what a finish delivers is chosen by `resolve`
        try:
            return self._suggestion_of(state, action, text)
        except InvalidAction as error:
            return Suggestion(" ".join(text.split())[:120], problem=_writable(str(error)))

    def _suggestion_of(self, state: State, action: Proposal, text: str) -> Suggestion:
        if isinstance(action, Tune) and action.regions:
            check_region(action, state.spec, self._context)
            return Suggestion(text, action)
        if isinstance(action, Tune) and action.budget is not None:  # of a search, and there is none
            action = action.model_copy(update={"budget": None})
            text = canonical(action)
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
        """A `tune` with regions as one with the values that a search on the development part found,
        a `finish` with what it delivers; anything else as it is. Blocks while candidates run.
        """
        if suggestion.to_choose:
            return replace(suggestion, spec=self._delivered(state, suggestion))
        if not suggestion.to_search:
            return suggestion
        assert isinstance(suggestion.action, Tune)
        found = search_region(
            suggestion.action,
            state.spec,
            self.evaluator.cross_validate,
            self.search_seed,
            self.config.search_settings,
        )
        return replace(
            self._suggestion_of(state, found, canonical(found)),
            looked=suggestion.looked,
            forgiven=suggestion.forgiven,
        )

    def _delivered(self, state: State, suggestion: Suggestion) -> PipelineSpec | None:
        """What a `finish` asks for; None where it is the current solution."""
        assert isinstance(suggestion.action, Finish)
        most = self.config.blend_members if suggestion.action.deliver == "blend" else 1
        looked = state.looked or suggestion.looked
        evidence, plain = Evidence(self.evaluator, "folds"), self.plain(looked)
        spec = choose_delivery(
            self.tried(state, looked), evidence, most, plain, self._accepted(state)
        )
        return None if self._effective(spec) == self._effective(state.spec) else spec

    def deliver(self, state: State) -> Tried:
        """What to hand over after an episode: chosen from all that was tried, on folds and
        hold-out. Blocks.
        """
        tried = self.tried(state)  # held, so that the members' results are at hand
        spec = self.choose(state, self.config.blend_members, tried)
        return Tried(spec, self.evaluate(spec))

    def choose(self, state: State, most: int, tried: Sequence[Tried] | None = None) -> PipelineSpec:
        """The best of all that was tried, or a blend of at most `most`, on folds and hold-out.
        Blocks.
        """
        tried, evidence = tried or self.tried(state), Evidence(self.evaluator, "all")
        return choose_delivery(tried, evidence, most, self.plain(state.looked))

    def tried(self, state: State, looked: bool | None = None) -> list[Tried]:
        """What a delivery is chosen from, with all folds: the start, the current solution, the best
        by hold-out of what memory holds, and the best families of the screening, if there was one.
        Blocks while folds are missing.
        """
        most = self.config.blend_members
        best = [spec for spec, _ in state.memory.scored()[: _TRIED * most]]
        specs = [*self.plain(state.looked or looked), *self._accepted(state), *best]
        found = ((spec, self.evaluate(spec)) for spec in distinct(specs))
        return [Tried(spec, evaluated) for spec, evaluated in found if evaluated.complete]

    def plain(self, looked: bool | None) -> list[PipelineSpec]:
        """The start, and the best families of the screening where one was asked for."""
        return distinct([starting_spec(self._context), *(self.within_reach() if looked else ())])

    @staticmethod
    def _accepted(state: State) -> list[PipelineSpec]:
        """The current solution, and what memory says was accepted or delivered, by an earlier solve
        as well.
        """
        kept = (Verdict.accepted, Verdict.finished)
        earlier = (e.spec for e in state.memory.entries if e.spec is not None and e.verdict in kept)
        return distinct([state.spec, *earlier])

    def evaluate(self, spec: PipelineSpec, against: Evaluated | None = None) -> Evaluated:
        """A solution's result: of a blend that of its members, of all others by running the
        reference. Blocks.
        """
        return (
            self.evaluator.compose(spec)
            if spec.estimator == BLEND
            else self.reference(spec, against)
        )

    def screen(self, enough: Callable[[], bool] = lambda: False) -> ModelScreen:
        """How the families do at their defaults; computed once. Blocks."""
        with self._screening:
            if self._screen is None:
                self._screen = screen_models(
                    self.evaluator,
                    screened_specs(self._context),
                    self.config,
                    self._sandbox.limits,
                    self._sandbox.slots,
                    self.seed,
                    enough,
                )
            return self._screen

    def look(self, state: State, known: Sequence[Tried] | None = None) -> State:
        """The state with the models screened and the best families known, going on from the best of
        what is known and the current solution, by the folds. Blocks.

        Memory reads as if that one had been proposed first and the other families after it.
        `known`: what is evaluated; None: all families within reach, evaluated here.
        """
        self.screen()
        reach = self.within_reach()
        if known is None:
            known = [Tried(spec, self.evaluate(spec)) for spec in reach]
        told = [one for one in known if one.evaluated.complete and tellable(one.spec)]
        evidence, here = (
            Evidence(self.evaluator, "folds"),
            Tried(state.spec, self.evaluate(state.spec)),
        )
        on_hand = [*([here] if here.evaluated.complete else []), *told]
        best = max(on_hand, key=lambda one: evidence.score(one.evaluated), default=here)
        families = [one for one in told if one.spec in reach]
        return settled(state, best, families, self.compare, self._effective)

    def within_reach(self) -> list[PipelineSpec]:
        """The best families of the screening, as many as a blend may have members."""
        ranked = self._screen.ranked if self._screen is not None else ()
        return [one.spec for one in ranked[: self.config.blend_members]]

    def analyze(self, state: State, query: Analyze, count: TokenCounter = rough_tokens) -> str:
        """Answer a query from development rows and the current model, in at most `analysis_tokens`
        tokens. May block: a snippet and permutation importance run in the sandbox.
        """
        budget = self.config.analysis_tokens
        if query.query == "models":
            return Answer(self.screen().told(_SCREENED), head="models: ").render(budget, count)
        return answer(
            query, current_view(self.evaluator, self._sandbox, state, self.seed, budget, count)
        )

    def run(
        self, code: str, against: Evaluated | None = None, wanted: PipelineSpec | None = None
    ) -> Evaluated:
        """Run an Engineer's code; `against` the current model folds may be left out (early
        stopping). Blocks.

        The very code of a blend that is `wanted` is not run: its members were.
        """
        if (
            wanted is not None
            and wanted.estimator == BLEND
            and same_code(code, generate_code(wanted))
        ):
            return self.evaluator.compose(wanted)
        return self.evaluator.evaluate(code, against)

    def reference(self, spec: PipelineSpec, against: Evaluated | None = None) -> Evaluated:
        """Run the reference implementation of a solution, through the same sandbox, as `run` does.
        Blocks.
        """
        return self.evaluator.evaluate(generate_code(spec), against)

    def compare(self, before: Evaluated, after: Evaluated) -> Comparison | None:
        """Paired test of `after` against `before`; None unless both ran."""
        return self.evaluator.compare(before, after)

    def judge(
        self, state: State, suggestion: Suggestion, implementation: Implementation | None = None
    ) -> StepOutcome:
        """What one suggestion, and one implementation of it, came to. Blocks while the reference
        runs.
        """
        return judge(self, state, suggestion, implementation)

    def advance(self, state: State, outcome: StepOutcome) -> State:
        """The next state of the episode."""
        spec = outcome.suggestion.spec
        after = advance(state, outcome, generate_code(spec) if spec else None)
        return (
            after if after.step < self.config.steps else State(**{**vars(after), "finished": True})
        )

    def remember(self, state: State, outcomes: Iterable[StepOutcome]) -> State:
        """The state with what was tried beside its last step in memory."""
        after = remember(state, outcomes)
        return after if after.step < self.config.steps else replace(after, finished=True)

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the sandbox: its start, and all candidates so far."""
        return self._sandbox.startup_cpu_s + self.evaluator.cpu_seconds

    def test_scores(self, state: State) -> Scores | None:
        """Scores on the test part: for reports, once, at the end."""
        return self.test_scores_of(state.spec)

    def test_scores_of(self, spec: PipelineSpec) -> Scores | None:
        """Scores of a solution on the test part; None if it fails there. Blocks."""
        found = self.evaluator.test_predictions(spec)
        return None if found is None else self.evaluator.scores(self.task.test.y, found)

    def close(self) -> None:
        """Release the task's memory."""
        self.evaluator.close()


def _start(reply: str) -> str:
    """What memory shows of a reply that is no action."""
    return _writable(" ".join(reply.split())[:60])


def _writable(text: str) -> str:
    """Text that can be stored as UTF-8."""
    return text.encode("utf-8", "replace").decode()
