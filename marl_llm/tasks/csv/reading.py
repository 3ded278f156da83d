"""From a CSV file as people have them to a frame of strings.

In: a path, and what the user says of the file. Out: a `Table`: every cell as stripped text, unique
column names, and the `Dialect` that was found or named. What the text means (numbers, dates,
categories, missing) is decided in `columns.py`, not here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.dialect import (
    SAMPLE_CHARACTERS,
    Dialect,
    Overrides,
    detect_decimal,
    detect_delimiter,
    records,
    separator_line,
)
from marl_llm.tasks.csv.encoding import TextFile, text_file
from marl_llm.tasks.csv.parsing import Layout, parse

_LOOKED_AT = (
    1_000  # rows at the beginning, and as many spread over the file, that tell the decimal mark
)
_AS_FOUND = Overrides()


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


def read_csv(path: Path | str, overrides: Overrides = _AS_FOUND) -> Table:
    """Read a CSV of unknown encoding, delimiter and decimal mark.

    Raises
    ------
    UserError
        If the file is missing, a directory, unreadable, empty, not text, has a header only, or has
        a record that can't be read: the line is named.
    """
    file = text_file(path, overrides.encoding)
    layout, header = _layout(file, overrides)
    names, name_notes = unique_names(header)
    table, row_notes = parse(file, layout)
    frame = _frame(table, names)
    if frame.empty:
        raise UserError(f"{file.path} has a header but no rows of data.")
    decimal = overrides.decimal or detect_decimal(_some_cells(frame), layout.delimiter)
    dialect = Dialect(
        file.encoding, layout.delimiter, decimal, tuple(overrides.missing), layout.skipped
    )
    return Table(frame, dialect, (dialect.note, *name_notes, *row_notes))


def unique_names(header: Iterable[object]) -> tuple[list[str], list[str]]:
    """Clean column names: empty ones named by their position, repeated ones numbered; with notes on
    changes.
    """
    names: list[str] = []
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
        names.append(unique)
    return names, notes


def clean_name(name: object) -> str:
    """A column name as it is compared: stripped, white space single, NFC."""
    return " ".join(unicodedata.normalize("NFC", str(name)).split())


def _layout(file: TextFile, overrides: Overrides) -> tuple[Layout, list[str]]:
    """Where the records stand, and the header."""
    with file.path.open(encoding=file.encoding, newline="") as text:
        sample = text.read(SAMPLE_CHARACTERS)
        whole = not text.read(1)
    if not sample.strip():
        raise UserError(f"{file.path} is empty: give a CSV with a header line and rows of data.")
    named = separator_line(sample)
    body = sample[sample.find("\n") + 1 or sample.find("\r") + 1 :] if named else sample
    delimiter = overrides.delimiter or named or detect_delimiter(body, whole)
    header = next(iter(records(body, delimiter, whole, 2)), [])
    if not header:
        raise UserError(f"{file.path} has no header: the first line must name the columns.")
    return Layout(delimiter, len(header), int(named is not None)), header


def _frame(table: pa.Table, names: list[str]) -> pd.DataFrame:
    """The rows below the header."""
    data = table.slice(1).to_pandas(types_mapper={pa.string(): pd.ArrowDtype(pa.string())}.get)
    return data.set_axis(names, axis=1)


def _some_cells(frame: pd.DataFrame) -> list[str]:
    spread = (
        np.linspace(_LOOKED_AT, len(frame) - 1, _LOOKED_AT).astype(int)
        if len(frame) > _LOOKED_AT
        else []
    )
    rows = frame.iloc[np.unique([*range(min(_LOOKED_AT, len(frame))), *spread])]
    return rows.to_numpy(dtype=object).ravel().tolist()
