"""From a CSV file as people have them to a frame of strings.

In: a path, and what the user says of the file. Out: a `Table`: every cell as stripped text, unique
column names, and the `Dialect` that was found or named. What the text means (numbers, dates,
categories, missing) is decided in `columns.py`, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.dialect import (
    BLANKS,
    WIDE_BLANKS,
    Dialect,
    Overrides,
    Record,
    detect_decimal,
)
from marl_llm.tasks.csv.encoding import TextFile, text_file
from marl_llm.tasks.csv.layout import Head, find_head
from marl_llm.tasks.csv.lines import clean_name, listed_lines
from marl_llm.tasks.csv.no_data import marks_of, no_data_rows
from marl_llm.tasks.csv.parsing import (
    Layout,
    Parsed,
    parse,
    refuse_long,
    row_lines,
    short_notes,
    without_rows,
)

_LOOKED_AT = (
    1_000  # rows at the beginning, and as many spread over the file, that tell the decimal mark
)
_AS_FOUND = Overrides()
_NAMED, _SHOWN = 3, 32  # rows that were left out, and characters of each, in a note


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV as text.

    Attributes
    ----------
    frame : DataFrame
        Stripped strings (Arrow's, which are small) under unique column names; "" where a cell is
        empty.
    dialect : Dialect
    notes : tuple of str
        What was found, and what was unusual.
    """

    frame: pd.DataFrame
    dialect: Dialect
    notes: tuple[str, ...]


def read_csv(
    path: Path | str, overrides: Overrides = _AS_FOUND, wanted: str | None = None
) -> Table:
    """Read a CSV of unknown encoding, delimiter and decimal mark; `wanted` is the name of a column
    that it should have, which tells the header from lines above it.

    Raises
    ------
    UserError
        If the file is missing, a directory, unreadable, empty, not text, has a header only, or has
        a record that can't be read: the line is named.
    """
    file = text_file(path, overrides.encoding)
    head = find_head(file, overrides, None if wanted is None else clean_name(wanted))
    layout = head.layout
    names, name_notes = unique_names(head.names)
    parsed = parse(file, layout)
    if not parsed.table.num_rows:
        raise UserError(f"{file.path} has a header but no rows of data.")
    if overrides.lines is not None:
        refuse_long(parsed.left_out, layout, file)
    _check_lines(file, layout, parsed)
    decimal = overrides.decimal or detect_decimal(_some_cells(parsed.table), layout.delimiter)
    parsed, doubts = (
        (parsed, []) if overrides.lines is not None else _data(file, head, parsed, decimal)
    )
    left_out = _left_out_notes(parsed.left_out, layout) if overrides.lines is None else []
    dialect = Dialect(
        encoding=file.encoding,
        delimiter=layout.delimiter,
        decimal=decimal,
        missing=tuple(overrides.missing),
        skipped=layout.skipped,
        header=None if layout.header else tuple(names),
        left_out=tuple(record.first_line for record in parsed.left_out),
        marks=marks_of(parsed.table, [record.fields for record in parsed.left_out]),
        row_names=layout.row_names,
        named_decimal=overrides.decimal is not None,
        regular=head.regular
        and not (parsed.left_out or parsed.ragged)
        and layout.delimiter not in (BLANKS, WIDE_BLANKS),
        remarks=(*head.notes, *name_notes, *left_out, *doubts, *short_notes(parsed, layout)),
    )
    return Table(_frame(parsed.table, names), dialect, (dialect.note, *dialect.remarks))


def _check_lines(file: TextFile, layout: Layout, parsed: Parsed) -> None:
    """An error if the user leaves out a line behind the last one."""
    if layout.left_out and parsed.lines is not None:
        last = max(int(parsed.lines[-1]), *(record.last_line for record in parsed.left_out), 0)
        if (line := max(layout.left_out)) > last:
            raise UserError(
                f"'skip' names line {line} of {file.path}, whose last row is in line {last}: name "
                "lines of the file."
            )


def _data(file: TextFile, head: Head, parsed: Parsed, decimal: str) -> tuple[Parsed, list[str]]:
    """The rows that are data, and notes on those that may be none."""
    found = no_data_rows(parsed.table, [clean_name(name) for name in head.names], decimal)
    if not found.rows and not found.doubtful:
        return parsed, []
    if parsed.lines is None:
        parsed = replace(parsed, lines=row_lines(file, head.layout))
    assert parsed.lines is not None
    notes = []
    for position in found.doubtful:
        line, row = int(parsed.lines[position]), _shown(_cells(parsed.table, position))
        notes.append(
            f"line {line} ('{row}') is called a total but holds what rows of data may hold, so it "
            f"is kept: skip: [{line}] in the task file leaves it out"
        )
    return without_rows(parsed, np.array(found.rows, dtype=np.int64)), notes


def _cells(table: pa.Table, position: int) -> list[str]:
    return [column[position].as_py() for column in table.columns]


def _left_out_notes(records: Sequence[Record], layout: Layout) -> list[str]:
    """Which rows were left out."""
    if not records:
        return []
    lines = [record.first_line for record in records]
    shown = ", ".join(f"'{_shown(record.fields)}'" for record in records[:_NAMED])
    rest = f" and {len(records) - _NAMED} more" if len(records) > _NAMED else ""
    said = f"{listed_lines(lines)} below the header left out, as no rows of data: {shown}{rest}"
    if any(len(record.fields) > len(layout.names) for record in records):
        return [f"{said} (with more fields than the header, they cannot be kept)"]
    above = list(range(1, layout.skipped + 1))
    return [
        f"{said} (in the task file, skip: {above} keeps them, and a list of line numbers leaves "
        "out others)"
    ]


def _shown(cells: Sequence[str]) -> str:
    text = " ".join(" ".join(cell for cell in cells if cell).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} .."


def unique_names(header: Iterable[object]) -> tuple[list[str], list[str]]:
    """Clean column names: empty ones named by their position, repeated ones numbered; with notes on
    changes.
    """
    names: dict[str, None] = {}
    notes: list[str] = []
    for position, cell in enumerate(header, start=1):
        name = clean_name(cell) or f"column_{position}"
        unique, count = name, 1
        while unique in names:
            count += 1
            unique = f"{name}_{count}"
        if not clean_name(cell):
            notes.append(f"column {position} has no name: called '{unique}'")
        elif unique != name:
            notes.append(f"column name '{name}' occurs twice: the later one is called '{unique}'")
        names[unique] = None
    return list(names), notes


def _frame(table: pa.Table, names: list[str]) -> pd.DataFrame:
    """The same rows under the columns' names."""
    data = table.to_pandas(types_mapper={pa.string(): pd.ArrowDtype(pa.string())}.get)
    return data.set_axis(names, axis=1)


def _some_cells(table: pa.Table) -> list[str]:
    last = table.num_rows - 1
    spread = np.linspace(_LOOKED_AT, last, _LOOKED_AT).astype(int) if last >= _LOOKED_AT else []
    rows = table.take(pa.array(np.unique([*range(min(_LOOKED_AT, last + 1)), *spread])))
    return [cell for row in zip(*rows.to_pydict().values(), strict=True) for cell in row]
