"""The state of an episode and the outcome of a step: frozen, so that a tree of branches can share them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from marl_llm.environment.evaluator import Evaluated
from marl_llm.environment.memory import Memory, MemoryEntry, Verdict
from marl_llm.metrics import Comparison
from marl_llm.proposals import PipelineSpec, Tune


@dataclass(frozen=True)
class State:
    """Where an episode stands: the current solution, its result, the memory, and steps done so far.

    `credited` is the largest reference gain over the current solution that was suggested already, and may not have been
    built.
    """

    spec: PipelineSpec
    code: str
    evaluated: Evaluated
    memory: Memory
    step: int = 0
    finished: bool = False
    credited: float = 0.0


@dataclass(frozen=True)
class Suggestion:
    """The end of a Data Scientist's turn.

    Attributes
    ----------
    text : str
        Canonical form, or the start of an unreadable reply.
    action : object or None
        The typed action, None if the reply was unreadable or not feasible.
    spec : PipelineSpec or None
        The solution asked for; None for `finish`, for invalid actions, and for a region that is still to be searched.
    problem : str
        Why the action is invalid, "" if it is valid.
    redundant : bool
        Nothing would change, or memory already answers it.
    """

    text: str
    action: Any = None
    spec: PipelineSpec | None = None
    problem: str = ""
    redundant: bool = False

    @property
    def valid(self) -> bool:
        """True if the action can be carried out."""
        return not self.problem

    @property
    def to_search(self) -> bool:
        """True for a `tune` whose regions the environment has still to search: `TeamEnv.resolve`."""
        return self.valid and isinstance(self.action, Tune) and bool(self.action.regions)

    @property
    def to_implement(self) -> bool:
        """True if the Engineer's turn follows."""
        return self.spec is not None and not self.redundant


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
        return self.comparison.gain if self.accepted and self.comparison else 0.0

    @property
    def reference_gain(self) -> float | None:
        """Significant gain of the reference implementation, 0 if not significant or it failed, None if it was
        not run.
        """
        if self.reference is None:
            return None
        comparison = self.reference_comparison
        return comparison.gain if comparison is not None and comparison.significant else 0.0

    @property
    def new_reference_gain(self) -> float | None:
        """What of the reference gain was not credited before; None where all of a gain was, or nothing was run."""
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
        return MemoryEntry(self.suggestion.text, self.verdict, self.measured_gain, self.suggestion.spec, note)


def advance(state: State, outcome: StepOutcome, code: str | None = None) -> State:
    """The next state: the new solution if it was accepted, the same one otherwise; memory grows in any case.

    `code` is the canonical code of the accepted solution.
    """
    after = replace(state, memory=state.memory.add(outcome.entry()), step=state.step + 1)
    if outcome.verdict is Verdict.finished:
        return replace(after, finished=True)
    if not outcome.accepted or outcome.reference is None or code is None:
        return replace(after, credited=max(state.credited, outcome.reference_gain or 0.0))
    assert outcome.suggestion.spec is not None
    return replace(after, credited=0.0, spec=outcome.suggestion.spec, code=code, evaluated=outcome.reference)
