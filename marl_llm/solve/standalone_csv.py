"""The part of a delivered `solution.py` that reads a CSV's cells as text, under the columns' names.

The constants are an example, as those of `standalone`.
"""

from __future__ import annotations

import csv
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

ENCODING, DELIMITER = "latin-1", ";"
TARGET_NAME = "y"
COLUMNS: dict[str, tuple[Any, ...]] = {"x0": ("age", "number", ","), "x1": ("city", "text")}
REGULAR, SKIP, ROW_NAMES = True, 0, False
HEADER: tuple[str, ...] = ()
NO_DATA: tuple[tuple[int, str], ...] = ()


def text_table(path: str) -> tuple[pd.DataFrame, str]:
    """The stripped cells of a CSV under the columns' own names, and its delimiter."""
    encoding, delimiter = _dialect(path)
    frame = pd.DataFrame()
    with Path(path).open(encoding=encoding, newline="") as file:
        if REGULAR:
            frame = _table(file, path, delimiter)
        if not REGULAR:
            frame = _rows_of_data(list(file), path, delimiter)
    return frame, delimiter


def _table(file: TextIO, path: str, delimiter: str) -> pd.DataFrame:
    """The rows of a header and records of its width."""
    start = file.readline(20)
    file.seek(0)
    if _names_delimiter(start):
        file.readline()
    how: Any = {"header": None, "dtype": str, "keep_default_na": False, "skipinitialspace": True}
    try:
        table = pd.read_csv(file, sep=delimiter, **how).apply(lambda column: column.str.strip())
    except ValueError as error:
        raise ValueError(f"{path} is no CSV: {error}") from None
    filled = (table != "").any(axis=1)
    if not filled.all():
        file.seek(0)
        records = _records(file, delimiter)
        _say_left_out(path, [n for n, cells in records if cells and not any(map(str.strip, cells))])
    table = table[filled]
    if len(table) < 2:
        raise ValueError(f"{path} has no rows of data")
    return table.iloc[1:].set_axis(unique_names(table.iloc[0]), axis=1).reset_index(drop=True)


def _rows_of_data(lines: list[str], path: str, delimiter: str) -> pd.DataFrame:
    """The same of a file with lines above the header, or rows that are no data: units, totals,
    notes.
    """
    if lines and _names_delimiter(lines[0]):
        lines[0] = "\n"
    header, above = _header(lines, delimiter)
    names = header or list(HEADER)
    rows: list[list[str]] = []
    left_out = [] if header else [n for n, line in enumerate(lines[:above], 1) if line.strip()]
    for number, record in _records(lines[above:], delimiter, above):
        cells = [cell.strip() for cell in record]
        if any(cells) and not _is_no_data(cells) and unique_names(cells) != names:
            if any(cells[len(names) :]):
                raise ValueError(
                    f"{path}, line {number}, has {len(cells)} fields where {len(names)} are known"
                )
            rows.append(cells[: len(names)])
        elif any(cells) or len(cells) > 1:
            left_out.append(number)
    if not rows:
        raise ValueError(f"{path} has no rows of data")
    _say_left_out(path, left_out)
    if not header:
        names = _names_for({len(row) for row in rows}, path)
    filled = [row + [""] * (len(names) - len(row)) for row in rows]
    return pd.DataFrame(filled, columns=names, dtype=str)


def _say_left_out(path: str, lines: list[int]) -> None:
    if lines:
        shown = ", ".join(map(str, lines[:20])) + (", .." if len(lines) > 20 else "")
        said = f"{len(lines)} left out as no data, on line {shown}"
        print(f"solution.py: {path}: {said}", file=sys.stderr)


def _names_delimiter(line: str) -> bool:
    """Whether it is Excel's first line."""
    return line.strip().strip('"').lower().startswith("sep=")


def _names_for(widths: set[int], path: str) -> list[str]:
    """Names of the columns of a file without a header: HEADER, or without the target if all rows
    are one field short.
    """
    width, known = max(widths), len(HEADER)
    if width == known:
        return list(HEADER)
    if widths != {known - 1} or TARGET_NAME not in HEADER:
        raise ValueError(f"{path} has rows of {width} fields where {known} columns are known")
    print(
        f"solution.py: {path} has {width} of {known} columns: {TARGET_NAME} is taken as missing",
        file=sys.stderr,
    )
    return [name for name in HEADER if name != TARGET_NAME]


def _header(lines: list[str], delimiter: str) -> tuple[list[str], int]:
    """Names of the columns, and how many lines end with theirs: the first one that names all
    columns, or the one behind as many lines as stood above it in the CSV that this was made for. If
    that one had no header, one of the first lines that names most columns; or no names.
    """
    wanted = {name for name, *_ in COLUMNS.values()}
    enough = len(wanted) // 2 + 1 if HEADER else len(wanted)
    for above, line in enumerate(lines[:20] if HEADER else lines, start=1):
        _, cells = next(_records([line], delimiter), (0, []))
        names = unique_names([""] * _names_rows(cells, lines[above:], delimiter) + cells)
        if len(wanted & set(map(_clean_name, cells) if HEADER else names)) >= enough:
            return names, above
    if HEADER:
        return [], SKIP
    for above, cells in _records(lines[SKIP:], delimiter, SKIP):
        if any(cells):
            nameless = _names_rows(cells, lines[above:], delimiter)
            return unique_names([""] * nameless + cells), above
    return [], len(lines)


def _names_rows(header: list[str], below: list[str], delimiter: str) -> bool:
    """Whether rows begin with names for which a header has no column."""
    if not ROW_NAMES:
        return False
    rows = (cells for _, cells in _records(below[:20], delimiter) if any(cells))
    return len(next(rows, [])) > len(header)


def _records(
    lines: Iterable[str], delimiter: str, above: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The line and the fields of each record; columns may be aligned with runs of blanks."""
    if len(delimiter) > 1:
        runs, delimiter = re.compile(rf'("(?:[^"]|"")*")|{delimiter}|\t'), "\t"
        lines = [runs.sub(lambda found: found[1] or "\t", line.strip()) for line in lines]
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    yield from ((above + reader.line_num, cells) for cells in reader)


def _is_no_data(cells: Sequence[str]) -> bool:
    """Whether a row is one of those that were left out when this was made, but for its numbers."""
    return any(
        "|".join(cells) == text if i < 0 else re.sub("[0-9]+", "0", cells[i]) == text
        for i, text in NO_DATA
        if i < len(cells)
    )


def _dialect(path: str) -> tuple[str, str]:
    """Encoding and delimiter of a CSV: those under which most of the columns are found in its first
    lines, and those of the CSV that this was made for where several do.
    """
    names = {name for name, *_ in COLUMNS.values()}
    best, dialect = -1, None
    for encoding in dict.fromkeys(("utf-8-sig", "utf-16", ENCODING, "cp1252")):
        lines = _first_lines(path, encoding) if best <= 0 else None
        if lines is None:
            continue
        for delimiter in dict.fromkeys((DELIMITER, *",;\t|")):
            found = max((len(names & cells) for cells in _cells(lines, delimiter)), default=0)
            if found > best:
                best, dialect = found, (encoding, delimiter)
    if dialect is None:
        raise ValueError(f"{path} is no text in UTF-8 or {ENCODING}: save the table as CSV")
    return dialect


def _first_lines(path: str, encoding: str) -> list[str] | None:
    """Some lines of a text, None if it is not in this encoding."""
    try:
        with Path(path).open(encoding=encoding, newline="") as file:
            lines = list(islice(file, 20))
            while file.read(1_000_000):
                pass
    except UnicodeError:
        return None
    return lines


def _cells(lines: list[str], delimiter: str) -> list[set[str]]:
    """The cells of each line as column names are compared."""
    if len(delimiter) > 1:
        return [set(re.split(delimiter, line.strip())) for line in lines]
    try:
        records = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:  # a quotation mark that is none under this delimiter
        return []
    return [set(map(_clean_name, record)) for record in records]


def unique_names(header: Iterable[object]) -> list[str]:
    """Column names, stripped; nameless ones by their position, repeated ones numbered."""
    names: list[str] = []
    for position, cell in enumerate(header, start=1):
        name = unique = ("" if cell is np.nan else _clean_name(cell)) or f"column_{position}"
        count = 1
        while unique in names:
            count += 1
            unique = f"{name}_{count}"
        names.append(unique)
    return names


def _clean_name(cell: object) -> str:
    return " ".join(unicodedata.normalize("NFC", str(cell)).split())
