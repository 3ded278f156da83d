"""The state of an episode and the outcome of a step: frozen, so that a tree of branches can share
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from marl_llm.core.forgiven import Forgiven
from marl_llm.core.verdict import Verdict
from marl_llm.environment.evaluator import Evaluated
from marl_llm.environment.memory import Memory, MemoryEntry
from marl_llm.metrics import Comparison
from marl_llm.proposals import Action, Finish, PipelineSpec, Tune


@dataclass(frozen=True)
class State:
    """Where an episode stands: the current solution, its result, the memory, and steps done so far.

    `credited` is the largest reference gain over the current solution that was suggested already,
    and may not have been built; `looked`: the models were screened (`analyze models`).
    """

    spec: PipelineSpec
    code: str
    evaluated: Evaluated
    memory: Memory
    step: int = 0
    finished: bool = False
    credited: float = 0.0
    looked: bool = False


@dataclass(frozen=True)
class Suggestion:
    """The end of a Data Scientist's turn.

    Attributes
    ----------
    text : str
        Canonical form, or the start of an unreadable reply.
    action : Action or None
        The typed action, None if the reply was unreadable or not feasible.
    spec : PipelineSpec or None
        The solution asked for; None for `finish`, for invalid actions, and for a region that is
        still to be searched.
    problem : str
        Why the action is invalid, "" if it is valid.
    redundant : bool
        Nothing would change, or memory already answers it.
    looked : bool
        The models were screened in this turn.
    forgiven : tuple of Forgiven
        What the reader of the reply forgave.
    """

    text: str
    action: Action | None = None
    spec: PipelineSpec | None = None
    problem: str = ""
    redundant: bool = False
    looked: bool = False
    forgiven: tuple[Forgiven, ...] = ()

    @property
    def valid(self) -> bool:
        """True if the action can be carried out."""
        return not self.problem

    @property
    def to_search(self) -> bool:
        """True for a `tune` whose regions the environment has still to search:
        `TeamEnv.resolve`.
        """
        return self.valid and isinstance(self.action, Tune) and bool(self.action.regions)

    @property
    def to_choose(self) -> bool:
        """True for a `finish` that leaves to the environment what is delivered:
        `TeamEnv.resolve`.
        """
        return self.valid and isinstance(self.action, Finish) and self.action.deliver != "current"

    @property
    def ends(self) -> bool:
        """True if the episode ends with it."""
        return self.valid and isinstance(self.action, Finish)

    @property
    def to_implement(self) -> bool:
        """True if the Engineer's turn follows. A blend has to be written; the best of what was
        tried is written.
        """
        return (
            self.spec is not None
            and not self.redundant
            and (not self.ends or bool(self.spec.members))
        )


@dataclass(frozen=True)
class Implementation:
    """The end of an Engineer's turn: its last code ("" if unreadable) and how that ran."""

    code: str
    evaluated: Evaluated


@dataclass(frozen=True)
class StepOutcome:
    """What one suggestion and one implementation of it came to.

    Attributes
    ----------
    verdict : Verdict
        What memory says of it.
    compliance : float or None
        Share of what was asked that was done; None if nothing ran.
    comparison, reference_comparison : Comparison or None
        The candidate, and the reference implementation, against the current model on the hold-out.
    credited : float
        Of the state it started from.
    accepted : bool
        Done as asked and significantly better: the episode goes on from it.
    """

    suggestion: Suggestion
    implementation: Implementation | None
    reference: Evaluated | None
    verdict: Verdict
    compliance: float | None = None
    comparison: Comparison | None = None
    reference_comparison: Comparison | None = None
    credited: float = 0.0

    @property
    def accepted(self) -> bool:
        """True if the current solution changes."""
        return self.verdict is Verdict.accepted

    @property
    def step_gain(self) -> float:
        """Skill gained by the team: the significant gain of a compliant implementation, else 0."""
        done = self.accepted or (self.verdict is Verdict.finished and self.compliance == 1)
        return (
            self.comparison.gain
            if done and self.comparison and self.comparison.significant
            else 0.0
        )

    @property
    def reference_gain(self) -> float | None:
        """Significant gain of the reference implementation, 0 if not significant or it failed, None
        if it was not run.
        """
        if self.reference is None:
            return None
        comparison = self.reference_comparison
        return comparison.gain if comparison is not None and comparison.significant else 0.0

    @property
    def new_reference_gain(self) -> float | None:
        """What of the reference gain was not credited before; None where all of a gain was, or
        nothing was run.
        """
        gain = self.reference_gain
        return gain if not gain or not self.credited else max(0.0, gain - self.credited) or None

    @property
    def measured_gain(self) -> float | None:
        """Raw gain for the memory: the candidate's if it did what was asked."""
        done = self.compliance == 1 and self.comparison is not None
        return self.comparison.gain if done and self.comparison else None

    def entry(self) -> MemoryEntry:
        """The line this step leaves in the memory."""
        ran = self.implementation.evaluated.error if self.implementation else ""
        note = self.suggestion.problem or ran
        if self.comparison is not None and self.comparison.contradicted:
            note = "better on the hold-out, but the folds say worse"
        holdout = self.reference.holdout if self.reference is not None else None
        score = holdout.score if holdout is not None else None
        return MemoryEntry(
            self.suggestion.text,
            self.verdict,
            self.measured_gain,
            self.suggestion.spec,
            note,
            score,
        )


def remember(state: State, outcomes: Iterable[StepOutcome]) -> State:
    """The state with more in its memory: what was tried beside the step it went on from. Each
    counts as a step.
    """
    for outcome in outcomes:
        looked = state.looked or outcome.suggestion.looked
        state = replace(
            state, memory=state.memory.add(outcome.entry()), step=state.step + 1, looked=looked
        )
    return state


def advance(state: State, outcome: StepOutcome, code: str | None = None) -> State:
    """The next state: the new solution if it was accepted, the same one otherwise; memory grows in
    any case.

    `code` is the canonical code of the accepted solution.
    """
    suggestion = outcome.suggestion
    after = replace(
        state,
        memory=state.memory.add(outcome.entry()),
        step=state.step + 1,
        looked=state.looked or suggestion.looked,
    )
    if suggestion.ends:
        return _ended(after, outcome, code)
    if not outcome.accepted or outcome.reference is None or code is None:
        return replace(after, credited=max(state.credited, outcome.reference_gain or 0.0))
    assert suggestion.spec is not None
    return replace(
        after, credited=0.0, spec=suggestion.spec, code=code, evaluated=outcome.reference
    )


def _ended(state: State, outcome: StepOutcome, code: str | None) -> State:
    """The last state. What `finish` delivers takes the place of the current solution, if the
    Engineer wrote it as asked or had nothing to write.
    """
    spec, reference = outcome.suggestion.spec, outcome.reference
    written = outcome.verdict is Verdict.finished and (
        outcome.compliance == 1 or outcome.implementation is None
    )
    if spec is None or reference is None or code is None or not written or not reference.complete:
        return replace(state, finished=True)
    return replace(state, finished=True, spec=spec, code=code, evaluated=reference)
