"""What no training may see: tables that models are measured on, told by their names and by their
content.

In: names, and frames beside the CSVs of a held-out directory. Out: why something is held out, or
None. A copy is found although columns were renamed, shuffled or left out, and although rows were.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path

import pandas as pd
import yaml

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.reading import read_csv
from marl_llm.tasks.training_suite.declared import Table

_DISTINCT = 8
"""Columns with fewer distinct values look alike in many tables; they count where a table has hardly
any others.
"""
_LOOKED_AT = 10
"""Columns of the smaller table that are looked at: those with the most distinct values, the others
tell little.
"""
_CONTAINED = 0.98
"""Share of the smaller table's values that must be among the larger one's; cleaning may have
changed a few.
"""
_TOGETHER = 4
"""Columns whose values must also occur together, row by row; fewer where a table has fewer."""
_TELLING = 0.25
"""Distinct combinations that they must have, as a share of rows: columns of mostly zeros agree with
many others.
"""
_ROWS = 200
"""Rows of the smaller table that are looked up in the larger one."""
_LOOKUPS = 1000
"""Combinations of columns that are tried for a pair of tables: a copy shows early, dozens of
look-alikes never end.
"""
_SAME_NAMES = 0.6
"""Share of the smaller table's column names that must be among the other's for the same."""


@functools.cache
def _names() -> tuple[frozenset[str], dict[str, str]]:
    content = yaml.safe_load(
        resources.files("marl_llm.tasks.training_suite")
        .joinpath("held_out.yaml")
        .read_text(encoding="utf-8")
    )
    collections = frozenset(content.pop("collections"))
    return collections, {
        pattern: group for group, patterns in content.items() for pattern in patterns
    }


def held_out_by_name(table: Table) -> str | None:
    """Which list of `held_out.yaml` names the table, by our name, the package's or its collection;
    None if none.
    """
    collections, patterns = _names()
    if table.part in collections:
        return f"collection {table.part}"
    for name in (table.name, table.table):
        plain = re.sub(r"[_. ]", "-", name.lower())
        for pattern, group in patterns.items():
            if fnmatchcase(plain, pattern):
                return f"{group}: {pattern}"
    return None


class _Content:
    """A table's name and column names, and its columns, values as text, most distinct ones
    first.
    """

    def __init__(self, name: str, frame: pd.DataFrame) -> None:
        self.name = name
        self.names = frozenset(
            re.sub(r"[^a-z0-9]", "", str(column).lower()) for column in frame.columns
        )
        columns = (_as_text(column) for _, column in frame.items())
        ordered = sorted(columns, key=lambda column: -len(set(column)))
        enough = min(_DISTINCT, *(len(set(column)) for column in ordered[:_TOGETHER]))
        self.columns = [column for column in ordered if len(set(column)) >= enough]
        self.values = [frozenset(column) for column in self.columns]
        self.rows = len(frame)
        self._together: dict[tuple[int, ...], frozenset[tuple[str, ...]]] = {}

    def together(self, chosen: tuple[int, ...]) -> frozenset[tuple[str, ...]]:
        """The distinct combinations of values of these columns."""
        if chosen not in self._together:
            self._together[chosen] = frozenset(zip(*(self.columns[i] for i in chosen), strict=True))
        return self._together[chosen]

    def sampled(self) -> _Content:
        """The same table with `_ROWS` of its rows, spread evenly, and `_LOOKED_AT` of its
        columns.
        """
        step, less = max(1, self.rows // _ROWS), copy.copy(self)
        less.columns, less._together = [column[::step] for column in self.columns[:_LOOKED_AT]], {}
        less.values = self.values[:_LOOKED_AT]
        return less


class HeldOut:
    """The content of held-out CSVs.

    Raises
    ------
    UserError
        A directory holds no CSV.
    """

    def __init__(self, directories: Iterable[Path]) -> None:
        self._tables = [table for directory in directories for table in _read(directory)]

    def copied_from(self, frame: pd.DataFrame) -> str | None:
        """The held-out table that a frame repeats, whole or in part, or None."""
        own = _Content("", frame)
        return next(
            (
                other.name
                for other in self._tables
                if _same_names(own, other) or _copies(own, other)
            ),
            None,
        )


def _read(directory: Path) -> Iterator[_Content]:
    paths = sorted(directory.glob("*.csv"))
    if not paths:
        raise UserError(f"There are no CSVs in {directory}: name a directory of held-out data.")
    return (_Content(path.stem, read_csv(path).frame) for path in paths)


def _as_text(column: pd.Series) -> list[str]:
    """Values in one spelling: numbers to six digits, however they were written."""
    plain = column.astype(object).where(column.notna(), "")
    numbers = pd.Series(pd.to_numeric(plain, errors="coerce"))
    if numbers.notna().sum() > _CONTAINED * (plain != "").sum():
        return [f"{value:.6g}" for value in numbers.astype(float)]
    return [str(value) for value in plain]


def _same_names(one: _Content, other: _Content) -> bool:
    return len(one.names & other.names) >= _SAME_NAMES * min(len(one.names), len(other.names))


def _copies(one: _Content, other: _Content) -> bool:
    small, large = sorted((one, other), key=lambda table: table.rows)
    small = small.sampled()
    fits = [
        [j for j, theirs in enumerate(large.values) if _inside(own, theirs)] for own in small.values
    ]
    needed = min(_TOGETHER, len(small.columns), len(large.columns))
    return needed > 1 and _found_together(small, large, fits, (), (), needed, iter(range(_LOOKUPS)))


def _found_together(
    small: _Content,
    large: _Content,
    fits: list[list[int]],
    own: tuple[int, ...],
    theirs: tuple[int, ...],
    needed: int,
    lookups: Iterator[int],
) -> bool:
    """True if the chosen columns (`own` in the small table, `theirs` in the large one) can be made
    `needed` many, such that the rows of the one are among the rows of the other.
    """
    if next(lookups, None) is None:
        return False
    if len(own) > 1 and not _inside(small.together(own), large.together(theirs)):
        return False
    if len(own) == needed:
        return len(small.together(own)) >= _TELLING * len(small.columns[0])
    return any(
        _found_together(small, large, fits, (*own, i), (*theirs, j), needed, lookups)
        for i in range(own[-1] + 1 if own else 0, len(fits))
        for j in fits[i]
        if j not in theirs
    )


def _inside(one: frozenset[object], other: frozenset[object]) -> bool:
    return len(one & other) >= _CONTAINED * len(one)
