"""The columns of the development part as the queries take them: values with their kind, and rows in
groups.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.environment.analysis.wording import level
from marl_llm.proposals.ops.columns import NUMBERS, ColumnKind
from marl_llm.tasks import Task

MAX_LEVELS = 4
_WORD = re.compile(r"\w{3,}")
_READ_TEXTS = 20_000


@dataclass(frozen=True, eq=False)
class Feature:
    """A column: `values` are float64 (dates: days since 1970-01-01), or str with nan for
    missing.
    """

    alias: str
    kind: ColumnKind
    values: pd.Series

    @property
    def is_number(self) -> bool:
        """True for numbers and dates."""
        return self.kind in NUMBERS

    def at(self, rows: np.ndarray) -> Feature:
        """The same column at some positions."""
        return Feature(self.alias, self.kind, self.values.iloc[rows])

    def groups(self) -> pd.Series:
        """Rows by quarter of a number (of a text: of its length), or by level; missing stays
        missing.
        """
        if self.kind == "categorical":
            return self.values.map(level, na_action="ignore")
        numbers = self.values if self.is_number else self.values.str.len()
        quarter = pd.Series(
            pd.qcut(numbers, 4, labels=False, duplicates="drop"), index=numbers.index
        )
        return quarter.map(lambda q: f"q{int(q) + 1}", na_action="ignore")


def features(task: Task, names: Sequence[str], default: int | None = None) -> list[Feature]:
    """The named columns; without names the first `default` of all (None: all)."""
    kinds: dict[str, ColumnKind] = {column.alias: column.kind for column in task.columns}
    frame = dict(task.development.X.items())
    chosen = names or list(kinds)[:default]
    return [Feature(name, kinds.get(name) or _kind(frame[name]), frame[name]) for name in chosen]


def _kind(column: pd.Series) -> ColumnKind:
    return "numeric" if pd.api.types.is_numeric_dtype(column) else "categorical"


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def frequent_words(texts: pd.Series, most: int = MAX_LEVELS) -> Iterator[tuple[str, np.ndarray]]:
    """The words in most texts (of the first 20,000), each with the mask of those texts; shape (n,),
    bool.
    """
    bags = [_words(text) if isinstance(text, str) else set() for text in texts.iloc[:_READ_TEXTS]]
    counts = Counter(word for bag in bags for word in bag)
    for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]:
        yield word, np.array([word in bag for bag in bags])
