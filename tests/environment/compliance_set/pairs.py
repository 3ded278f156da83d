"""The labelled set of (proposal, code) pairs that the compliance checker is measured against, and
its loader.

In: the YAML files beside this module, one per theme, written by hand and before the checker. Out:
`Pair`s. A label says whether the code does exactly what the proposal asks of the current solution
and nothing else, judged by what it would do on any data; where a difference can change no
prediction on any data, it complies. `replay` turns a pair's proposals into the current and the
asked solution, `frame` is a table that its code runs on. No code is run here, and nothing here
knows the checker.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml

from marl_llm.core.kind import Kind
from marl_llm.proposals import Context, PipelineSpec, apply, baseline, parse_action, resolve_columns
from marl_llm.proposals.context import ColumnFacts
from tests.fixtures import small_frame


@dataclass(frozen=True)
class Pair:
    """One labelled pair.

    Attributes
    ----------
    id : str
        File and name, e.g. "tune/c-canonical".
    kind : Kind
        Kind of the target.
    before : tuple of str
        Canonical proposals that came before, oldest first; number k (from 1) is line k of the
        memory.
    rejected : tuple of int
        Numbers of those in `before` that were built but not kept: the current solution is without
        them.
    proposal : str
        Canonical text of what is asked.
    code : str
        The Engineer's text, run after the prelude.
    label : "complies" or "violates"
        The judgement.
    forged : bool
        The code tries to deceive; always "violates".
    parses : bool
        False where the text is no Python.
    extended : bool
        The table has two columns more: x5, a date, and t6, a text.
    dormant : bool
        Violates, but predicts on the small table what was asked for; only other data would show it.
    why : str
        One line: what is wrong, or why it is fine.
    """

    id: str
    kind: Kind
    proposal: str
    code: str
    label: Literal["complies", "violates"]
    why: str
    before: tuple[str, ...] = ()
    rejected: tuple[int, ...] = ()
    forged: bool = False
    parses: bool = True
    extended: bool = False
    dormant: bool = False

    @property
    def complies(self) -> bool:
        """True if the code does what was asked, and nothing else."""
        return self.label == "complies"


@functools.cache
def load_pairs() -> tuple[Pair, ...]:
    """All pairs, by file and in the order of each file."""
    files = sorted(Path(__file__).parent.glob("*.yaml"))
    return tuple(
        _pair(file.stem, row)
        for file in files
        for row in yaml.load(file.read_text(encoding="utf-8"), _LOADER)
    )


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same loader, in C where PyYAML was built with it."""


def _pair(theme: str, row: dict) -> Pair:
    lists = {name: tuple(row[name]) for name in ("before", "rejected") if name in row}
    return Pair(**{**row, **lists, "id": f"{theme}/{row['id']}", "kind": Kind(row["kind"])})


def frame(kind: Kind, extended: bool = False, rows: int = 480) -> tuple[pd.DataFrame, np.ndarray]:
    """Features under their aliases and the target (class numbers, or numbers) of `small_frame`.

    `extended` adds x5, days since 1970-01-01 with gaps, and t6, a text of a few words with gaps.
    """
    table = small_frame(kind, rows)
    y = table.pop("outcome").to_numpy()
    table.columns = [f"x{i}" for i in range(5)]
    table = table.astype({"x3": object, "x4": object}).fillna({"x4": np.nan})
    if kind.is_classification:
        y = np.unique(y, return_inverse=True)[1]
    if extended:
        rng = np.random.default_rng(1)
        words = rng.choice(["late", "early", "new", "old", "paid", "open"], (rows, 3))
        gaps = rng.random((2, rows)) < 0.1
        table["x5"] = np.where(
            gaps[0], np.nan, rng.integers(14_000, 20_000, rows) + rng.choice([0.0, 0.25, 0.5], rows)
        )
        table["t6"] = pd.Series([" ".join(w) for w in words], dtype=object).mask(
            pd.Series(gaps[1]), np.nan
        )
    return table, y


def _context(pair: Pair) -> Context:
    kinds = ["numeric"] * 3 + ["categorical"] * 2
    columns = {f"x{i}": ColumnFacts(f"column {i}", kinds[i], i in (1, 4)) for i in range(5)}
    if pair.extended:
        columns |= {
            "x5": ColumnFacts("when", "date", True),
            "t6": ColumnFacts("note", "text", True),
        }
    return Context(pair.kind, columns, rows=480)


def replay(pair: Pair) -> tuple[PipelineSpec, PipelineSpec]:
    """The current solution, and the one that the proposal asks for."""
    context, current = _context(pair), baseline(pair.kind)
    solutions: dict[int, PipelineSpec] = {}
    for line, text in enumerate((*pair.before, pair.proposal), 1):
        action = resolve_columns(parse_action(text), context)
        solutions[line] = apply(action, current, context, solutions)
        if line <= len(pair.before) and line not in pair.rejected:
            current = solutions[line]
    return current, solutions[len(pair.before) + 1]
