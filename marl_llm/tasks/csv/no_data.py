"""Rows below the header that are no data: units, descriptions, a second header, totals, notes.

In: the rows of a table as text. Out: `Found`: which are none, and which look like totals but could
be data. A row is left out for what it says *and* what it holds, because Total may be the name of a
category: a row of units has words in columns of numbers, a total is the sum of rows above it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from marl_llm.tasks.csv.cell_kinds import (
    is_value,
    is_word,
    like_value,
    no_value,
    value_columns,
    value_of,
)
from marl_llm.tasks.csv.sums import Sums
from marl_llm.tasks.csv.total_words import COMMENT, NOTE, STATISTIC, SUMMARY

_arrow: Any = (
    pyarrow.compute
)  # its functions are made when it is imported: checkers do not see them
_LEAST_ROWS = 8
_HEAD, _TAIL, _SAMPLED = 4, 30, 200
_LABELLED, _TEXTS = 3, 8  # columns, from the left, and columns of words that may name a total
_HALF = 0.5
_ENOUGH, _MOST_NOTES = 3, 0.1  # usual number of filled cells; share of the rows
_FEW = 0.4  # of the usual number of filled cells
_SUMMARY, _STATISTIC, _NOTE = map(re.compile, (SUMMARY, STATISTIC, NOTE))
RULE = r"^[-=_*~]{3,}$"  # a line drawn with signs
_RULE = re.compile(RULE)
_UNIT = re.compile(
    r"(?i)[\[(].+[\])]|%|°.*|[µμ]?[a-z]{1,3}(?:[/^*·²³\-]\S*)+|[kmcd]?m[²³23]|kg|g|mg|t|lbs?|oz"
    r"|k?m|[cm]m|in|ft|mi|l|ml|[kmhn]?s|min|hrs?|[mg]?hz|k?w(?:h)?|[mk]?v|[mk]?a|k?pa|hpa|bar|ppm"
    r"|deg\.?|eur|usd|gbp|brl|chf|pln|€|\$|£|float(?:64|32)?|int(?:64|32|eger)?|double|str(?:ing)?"
    r"|text|numeric|number|object|varchar|smp|avg|std|unitless|units?|n/?a|-+"
)


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes
    ----------
    rows : tuple of int
        Positions of the rows that are no data, ascending.
    doubtful : tuple of int
        Positions of rows that are called a total, but hold what a row of data may hold.
    """

    rows: tuple[int, ...] = ()
    doubtful: tuple[int, ...] = ()


@dataclass
class _Rows:
    """A table and what its columns usually hold."""

    table: pa.Table
    decimal: str
    body: list[list[str]] = field(init=False)
    values: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        n = self.table.num_rows
        first, last = (_HEAD, n - _TAIL) if n > 3 * (_HEAD + _TAIL) else (0, n)
        positions = np.linspace(first, last - 1, min(_SAMPLED, last - first)).astype(int)
        self.body = self.at(np.unique(positions))
        self.values = value_columns(self.body, self.table.num_columns)
        filled = [sum(bool(cell) for cell in row) for row in self.body]
        self.usual = float(np.median(filled))

    def at(self, positions: Sequence[int] | np.ndarray) -> list[list[str]]:
        """The cells of some rows."""
        some = self.table.take(pa.array(positions, pa.int64()))
        return [list(row) for row in zip(*(c.to_pylist() for c in some.columns), strict=True)]

    def odd(self, row: Sequence[str]) -> list[int]:
        """Columns of values in which a row has a word or sign instead."""
        return [
            i
            for i, cell in enumerate(row)
            if self.values[i] and not (no_value(cell) or like_value(cell) or is_value(cell))
        ]

    def present(self, row: Sequence[str]) -> list[int]:
        """Columns of values in which a row has one."""
        return [i for i, cell in enumerate(row) if self.values[i] and like_value(cell)]

    def words(self, row: Sequence[str]) -> list[int]:
        """Other columns in which a row has something."""
        return [i for i, cell in enumerate(row) if not self.values[i] and not no_value(cell)]

    def occurs(self, i: int, cell: str) -> int:
        """How many rows have the same cell in a column."""
        return int(_arrow.sum(_arrow.equal(self.table.column(i), cell)).as_py() or 0)


def no_data_rows(table: pa.Table, names: Sequence[str], decimal: str) -> Found:
    """Find them.

    Parameters
    ----------
    table : pyarrow Table of stripped strings
    names : sequence of str
        The header, stripped.
    decimal : "." or ","
        The decimal mark of the file.
    """
    if table.num_rows < _LEAST_ROWS:
        return Found()
    rows = _Rows(table, decimal)
    found = {*_repeated_headers(rows, names), *_under_header(rows), *_lone_notes(rows)}
    totals, doubtful = _totals(rows)
    found |= totals
    found |= _nameless_total(rows, found)
    found |= _footers(rows, found)
    if table.num_rows - len(found) < _LEAST_ROWS:
        return Found()
    return Found(tuple(sorted(found)), tuple(sorted(doubtful - found)))


def _repeated_headers(rows: _Rows, names: Sequence[str]) -> set[int]:
    """Rows that repeat the names of the columns, as where files were joined."""
    named = [i for i, name in enumerate(names) if name]
    if len(named) < 2:
        return set()
    same = _arrow.equal(rows.table.column(named[0]), names[named[0]])
    for i in named[1:]:
        if not _arrow.any(same).as_py():
            return set()
        same = _arrow.and_(same, _arrow.equal(rows.table.column(i), names[i]))
    return set(np.flatnonzero(same.to_numpy()).tolist())


def _under_header(rows: _Rows) -> set[int]:
    """The first rows as long as they hold no value where other rows do, but units, names or
    descriptions that no other row has.
    """
    found: set[int] = set()
    for position, row in enumerate(rows.at(range(_HEAD))):
        odd = rows.odd(row)
        if not odd or rows.present(row) or (len(odd) == 1 and not _UNIT.fullmatch(row[odd[0]])):
            break
        own = sum(rows.occurs(i, row[i]) <= _HEAD for i in odd) == len(odd)
        others = [i for i in rows.words(row) if rows.occurs(i, row[i]) > 1]
        if not own or (others and len(odd) < 2 + len(others)):
            break
        found.add(position)
    return found


def _lone_notes(rows: _Rows) -> set[int]:
    """Rows anywhere with nothing but a comment, a rule or a page number in the first column."""
    if rows.usual < _ENOUGH:
        return set()
    alone = _arrow.match_substring_regex(rows.table.column(0), f"{COMMENT}|{NOTE}|{RULE}")
    for column in rows.table.columns[1:]:
        if not _arrow.any(alone).as_py():
            return set()
        alone = _arrow.and_(alone, _arrow.equal(column, ""))
    found = np.flatnonzero(alone.to_numpy())
    return set(found.tolist()) if len(found) <= _MOST_NOTES * rows.table.num_rows else set()


def _totals(rows: _Rows) -> tuple[set[int], set[int]]:
    """Rows that sum up others, and rows at the end that only say so."""
    n = rows.table.num_rows
    labels: dict[int, int] = {}
    words = [i for i, values in enumerate(rows.values) if not values][:_TEXTS]
    for i in sorted({*words, *range(min(_LABELLED, rows.table.num_columns))}):
        said = _arrow.match_substring_regex(rows.table.column(i), SUMMARY)
        if _arrow.any(said).as_py():
            for position in np.flatnonzero(said.to_numpy()).tolist():
                labels.setdefault(position, i)
    if not labels or len(labels) > n / 2:
        return set(), set()
    sums = Sums(rows.table, [i for i, values in enumerate(rows.values) if values], rows.decimal)
    positions = np.array(sorted(labels))
    found: set[int] = set()
    doubtful: set[int] = set()
    for position, row in zip(positions.tolist(), rows.at(positions), strict=True):
        label = labels[position]
        checked, matched = sums.matches(position, positions, bool(_STATISTIC.match(row[label])))
        others = [i for i in rows.words(row) if i != label and not _SUMMARY.match(row[i])]
        foreign = [i for i in others if rows.occurs(i, row[i]) > 1]
        at_end = position >= n - _TAIL
        alone = rows.occurs(label, row[label]) == 1
        if at_end and alone and not foreign:
            sure = (matched > 0 and 2 * matched >= checked) or sums.exceeds(position, positions)
        else:
            sure = matched > 0 and (matched == checked if foreign else 2 * matched > checked)
        if sure:
            found.add(position)
        elif at_end and checked and alone:
            doubtful.add(position)
    return found, doubtful


def _nameless_total(rows: _Rows, known: set[int]) -> set[int]:
    """The last row, if it names nothing where others do and all of its numbers are sums."""
    last = next((i for i in reversed(range(rows.table.num_rows)) if i not in known), 0)
    row = rows.at([last])[0]
    filled = sum(bool(cell) for cell in row)
    named = all(rows.values) or rows.words(row) or filled >= rows.usual
    if named or not rows.present(row):
        return set()
    sums = Sums(rows.table, [i for i, values in enumerate(rows.values) if values], rows.decimal)
    checked, matched = sums.matches(last, np.array(sorted({*known, last})), statistics=False)
    return {last} if checked == matched > 0 else set()


def _footers(rows: _Rows, known: set[int]) -> set[int]:
    """The last rows, from the first on that is a note for certain."""
    n = rows.table.num_rows
    tail = list(range(max(n - _TAIL, _HEAD), n))
    first: int | None = None
    for position, row in zip(reversed(tail), reversed(rows.at(tail)), strict=True):
        if position in known:
            continue
        if _is_note(rows, row):
            first = position
        elif not (_begins_odd(rows, row) or (len(rows.words(row)) + len(rows.present(row))) == 0):
            break
    return set() if first is None else set(range(first, n))


def _is_note(rows: _Rows, row: Sequence[str]) -> bool:
    """Whether a row at the end is no row of data for certain."""
    filled = [i for i, cell in enumerate(row) if cell]
    odd, present = rows.odd(row), rows.present(row)
    label = row[filled[0]]
    if all(_RULE.fullmatch(row[i]) for i in filled):
        return True
    if not is_word(label) and not odd:
        return False
    few = len(filled) <= max(1.0, _FEW * rows.usual) and rows.usual > 1
    if _begins_odd(rows, row):
        outside = [i for i in present if _outside(rows, i, row[i])]
        return few or len(odd) > 1 or (bool(present) and 2 * len(outside) >= len(present))
    if odd and not present and len(filled) <= _HALF * rows.usual:
        return rows.occurs(filled[0], label) == 1
    if present or not few:
        return False
    if _NOTE.match(label) or _SUMMARY.match(label):
        return True
    return (
        rows.usual >= 3
        and rows.occurs(filled[0], label) == 1
        and _is_unlike(rows, filled[0], label)
    )


def _begins_odd(rows: _Rows, row: Sequence[str]) -> bool:
    """Whether the first filled cell of a row is a word in a column of values."""
    first = next((i for i, cell in enumerate(row) if cell), None)
    return first is not None and first in rows.odd(row) and is_word(row[first])


def _outside(rows: _Rows, i: int, cell: str) -> bool:
    values = [v for row in rows.body if (v := value_of(row[i])) == v]
    value = value_of(cell)
    return bool(values) and not min(values) <= value <= max(values)


def _is_unlike(rows: _Rows, i: int, label: str) -> bool:
    """Whether a label is longer than the cells of its column, or the column repeats few words."""
    cells = [row[i] for row in rows.body if row[i]]
    return len(set(cells)) <= 0.5 * len(cells) or len(label) > max(map(len, cells), default=0)


def mark_text(cell: str) -> str:
    """A cell with its numbers left open: `Page 3 of 7` is `Page 0 of 0`."""
    return re.sub("[0-9]+", "0", cell)


def marks_of(kept: pa.Table, left_out: Sequence[Sequence[str]]) -> tuple[tuple[int, str], ...]:
    """What tells the rows that were left out from those that were kept: (position of a cell, its
    `mark_text`), or (-1, all cells) where no cell does.
    """
    marks: dict[tuple[int, str], None] = {}
    for row in left_out:
        mark = next(
            (
                (i, text)
                for i, cell in enumerate(row[: kept.num_columns])
                if is_word(cell) and not _occurs(kept, i, text := mark_text(cell))
            ),
            (-1, "|".join(row)),
        )
        marks[mark] = None
    return tuple(marks)


def _occurs(table: pa.Table, i: int, text: str) -> bool:
    cells = _arrow.replace_substring_regex(table.column(i), "[0-9]+", "0")
    return bool(_arrow.any(_arrow.equal(cells, text)).as_py())
