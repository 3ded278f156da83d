"""What an episode has found so far: the best state in memory, a line for each proposal in
history.jsonl, and the lines shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from marl_llm.environment import State, StepOutcome
from marl_llm.environment.memory import MemoryEntry
from marl_llm.environment.model_screen import ModelScreen
from marl_llm.rollout.episode import StepRecord
from marl_llm.rollout.token_meter import TokenMeter
from marl_llm.solve.directory import SolveDirectory
from marl_llm.solve.report import Family, scores_dict
from marl_llm.solve.table import (
    HEADER,
    baseline_line,
    beside_line,
    model_name,
    screened_lines,
    step_line,
)


class Journal:
    """Told of each step as it ends; every step told of is on disk before its line is shown.

    Attributes
    ----------
    first : State
        The baseline.
    accepted : int
        Steps that changed the current model.
    visited : list of (State, StepOutcome)
        Each step's state before it and what came of it.
    meter : TokenMeter
        Counts the team's tokens.
    on_line : callable
        Shows a line.
    """

    def __init__(
        self,
        directory: SolveDirectory,
        meter: TokenMeter,
        on_line: Callable[[str], None],
        first: State,
    ) -> None:
        self._directory, self.meter, self.on_line = directory, meter, on_line
        self.first = first
        self.accepted = 0
        self.visited: list[tuple[State, StepOutcome]] = []
        self._since, self._tokens = time.monotonic(), meter.snapshot()
        directory.start_history()
        self.families: list[Family] = []
        on_line(HEADER)
        on_line(baseline_line(first))

    def screened(self, screen: ModelScreen) -> None:
        """Note what the screening found."""
        self.families = [
            {
                "model": model_name(s.spec),
                "score": s.score,
                "spread": s.spread,
                "seconds": s.seconds,
                "why": s.problem,
            }
            for s in screen.found
        ]
        for line in screened_lines(screen):
            self.on_line(line)

    def looked(self, state: State) -> None:
        """Note the best of the families, from which the team goes on."""
        self._directory.write_memory(state.memory)
        if state.spec != self.first.spec:
            self.on_line(f"The team goes on from {model_name(state.spec)}.")

    def step(self, record: StepRecord) -> None:
        """Note one step: the proposal it went on from, and those that were tried beside it."""
        self.visited += [(record.before, outcome) for outcome in (record.outcome, *record.beside)]
        self.accepted += record.outcome.accepted
        now = time.monotonic()
        self._directory.append(self._line(record, now - self._since))
        shown = [step_line(record)]
        for number, entry in enumerate((o.entry() for o in record.beside), record.before.step + 2):
            self._directory.append(_beside(number, entry))
            shown.append(beside_line(number, entry))
        self._directory.write_memory(record.after.memory)
        self._since, self._tokens = now, self.meter.snapshot()
        for line in shown:
            self.on_line(line)

    def _line(self, record: StepRecord, seconds: float) -> dict[str, object]:
        outcome, comparison = record.outcome, record.outcome.comparison
        implementation = outcome.implementation
        result = implementation.evaluated if implementation else None
        return {
            "step": record.before.step + 1,
            "beside": False,
            "proposal": outcome.suggestion.text,
            "verdict": str(outcome.verdict),
            "note": outcome.entry().note,
            "gain": comparison.gain if comparison else None,
            "p_value": comparison.p_value if comparison else None,
            "significant": comparison.significant if comparison else None,
            "compliance": outcome.compliance,
            "before": {
                part: scores_dict(getattr(record.before.evaluated, part))
                for part in ("cv", "holdout")
            },
            "after": {part: scores_dict(getattr(result, part, None)) for part in ("cv", "holdout")},
            "code": implementation.code if implementation else "",
            "seconds": round(seconds, 3),
            "tokens": self.meter.since(self._tokens),
        }


def _beside(number: int, entry: MemoryEntry) -> dict[str, object]:
    """The line of a proposal that was tried at the same time as the step's own."""
    holdout = None if entry.score is None else {"score": entry.score}
    return {
        "step": number,
        "beside": True,
        "proposal": entry.text,
        "verdict": str(entry.verdict),
        "note": entry.note,
        "gain": entry.gain,
        "after": {"cv": None, "holdout": holdout},
    }
