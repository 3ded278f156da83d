"""The memory both agents share: every suggestion of an episode, what became of it, and its rendering under a
token budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from marl_llm.proposals import PipelineSpec

TokenCounter = Callable[[str], int]


class Verdict(StrEnum):
    """What became of a suggestion."""

    accepted = "accepted"
    no_gain = "no_gain"
    not_as_asked = "not_as_asked"
    failed = "failed"
    invalid = "invalid"
    redundant = "redundant"
    finished = "finished"


def rough_tokens(text: str) -> int:
    """A tokenizer-free upper estimate: one token for three characters."""
    return -(-len(text) // 3)


@dataclass(frozen=True)
class MemoryEntry:
    """One suggestion.

    Attributes
    ----------
    text : str
        Canonical form, or the start of the reply if it was not readable.
    verdict : Verdict
        What became of it.
    gain : float or None
        Skill gain over the model of that moment, None if nothing was measured.
    spec : PipelineSpec or None
        The solution it asked for.
    note : str
        One short line: the error, or why it was invalid.
    """

    text: str
    verdict: Verdict
    gain: float | None = None
    spec: PipelineSpec | None = None
    note: str = ""

    def line(self) -> str:
        """The entry as the agents read it."""
        mark = {Verdict.accepted: "kept", Verdict.no_gain: "no"}.get(self.verdict, self.verdict.replace("_", " "))
        gain = f" {self.gain:+.2f}" if self.gain is not None and self.verdict in _MEASURED else ""
        return f"{mark}{gain} {self.text}"


_MEASURED = (Verdict.accepted, Verdict.no_gain)


@dataclass(frozen=True)
class Memory:
    """Immutable list of entries, oldest first; branches of a tree share their common past."""

    entries: tuple[MemoryEntry, ...] = ()

    def add(self, entry: MemoryEntry) -> Memory:
        """A new memory with one more entry."""
        return Memory((*self.entries, entry))

    def tried(self, spec: PipelineSpec) -> bool:
        """True if this very solution was already asked for and answered (built as asked, or refused as redundant)."""
        answered = (Verdict.accepted, Verdict.no_gain, Verdict.redundant)
        return any(e.spec == spec and e.verdict in answered for e in self.entries)

    def render(self, budget: int, count: TokenCounter = rough_tokens) -> str:
        """The memory as text under a token budget.

        What was kept comes first in line for the budget, then the latest entries; the text keeps the order of events.

        Parameters
        ----------
        budget : int
            Most tokens of the result, as `count` counts them.
        count : callable
            Text to number of tokens.
        """
        ranked = sorted(range(len(self.entries)), key=lambda i: (self.entries[i].verdict is not Verdict.accepted, -i))
        chosen: list[int] = []
        for i in ranked:
            trial = sorted([*chosen, i])
            if count("\n".join(self.entries[j].line() for j in trial)) <= budget:
                chosen = trial
        return "\n".join(self.entries[i].line() for i in chosen)
