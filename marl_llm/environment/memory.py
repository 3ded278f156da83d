"""The memory both agents share: every suggestion of an episode, what became of it, and its
rendering under a token budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from marl_llm.core.verdict import Verdict
from marl_llm.proposals import PipelineSpec

TokenCounter = Callable[[str], int]


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
    score : float or None
        Hold-out score of that solution, if it was measured.
    """

    text: str
    verdict: Verdict
    gain: float | None = None
    spec: PipelineSpec | None = None
    note: str = ""
    score: float | None = None

    def line(self) -> str:
        """The entry as the agents read it."""
        mark = {Verdict.accepted: "kept", Verdict.no_gain: "no"}.get(
            self.verdict, self.verdict.replace("_", " ")
        )
        gain = f" {self.gain:+.2f}" if self.gain is not None and self.verdict in _MEASURED else ""
        return " ".join(f"{mark}{gain} {self.text}".splitlines())


_MEASURED = (Verdict.accepted, Verdict.no_gain)


@dataclass(frozen=True)
class Memory:
    """Immutable list of entries, oldest first; branches of a tree share their common past."""

    entries: tuple[MemoryEntry, ...] = ()

    def add(self, entry: MemoryEntry) -> Memory:
        """A new memory with one more entry."""
        return Memory((*self.entries, entry))

    def tried(
        self, spec: PipelineSpec, form: Callable[[PipelineSpec], PipelineSpec] = PipelineSpec.normal
    ) -> bool:
        """True if this very solution was already asked for and answered (built as asked, or refused
        as redundant).

        Solutions are compared under `form`, by default in normal form: a default spelled out, or
        another order of added features, is no other solution.
        """
        wanted = form(spec)
        return any(
            e.spec is not None and e.verdict in _ANSWERED and form(e.spec) == wanted
            for e in self.entries
        )

    def solutions(self) -> dict[int, PipelineSpec]:
        """Solutions that ran, by the number of their line (from 1): what an ensemble may be made
        of.
        """
        ran = (
            i for i, e in enumerate(self.entries) if e.verdict in _MEASURED and e.gain is not None
        )
        return {i + 1: spec for i in ran if (spec := self.entries[i].spec) is not None}

    def scored(self) -> list[tuple[PipelineSpec, float]]:
        """Solutions with the hold-out score of their reference implementation, best first, whatever
        the Engineer made of them: what a delivery is chosen from.
        """
        found = (
            (e.spec, e.score) for e in self.entries if e.spec is not None and e.score is not None
        )
        return sorted(found, key=lambda pair: -pair[1])

    def render(
        self, budget: int, count: TokenCounter = rough_tokens, *, numbered: bool = False
    ) -> str:
        """The memory as text under a token budget.

        What was kept comes first in line for the budget, then the latest entries; the text keeps
        the order of events. A line that does not fit whole is left out, never cut.

        Parameters
        ----------
        budget : int
            Most tokens of the result, as `count` counts them.
        count : callable
            Text to number of tokens.
        numbered : bool
            Begin each line with its number, by which an ensemble names a solution.
        """
        lines = [f"{i} {e.line()}" if numbered else e.line() for i, e in enumerate(self.entries, 1)]
        ranked = sorted(
            range(len(lines)), key=lambda i: (self.entries[i].verdict is not Verdict.accepted, -i)
        )
        chosen: list[int] = []
        for i in ranked:
            trial = sorted([*chosen, i])
            if count("\n".join(lines[j] for j in trial)) <= budget:
                chosen = trial
        return "\n".join(lines[i] for i in chosen)

    def to_json(self) -> str:
        """The memory as one JSON text; `from_json` reads it back, equal."""
        return _ENTRIES.dump_json(self.entries, indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> Memory:
        """The memory that `to_json` wrote.

        Raises
        ------
        ValueError
            The text is no such memory; one line that says where.
        """
        try:
            return cls(_ENTRIES.validate_json(text))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the text"
            raise ValueError(f"not a memory: {where}: {first['msg']}") from None


_ANSWERED = (Verdict.accepted, Verdict.no_gain, Verdict.redundant)
_ENTRIES = TypeAdapter(tuple[MemoryEntry, ...])
