"""Where the table stands in a file: lines above it, delimiter, header.

In: a file of known encoding and what the user says of it. Out: a `Layout`, the names of the columns
and remarks. Only the beginning of the file is read; rows below the header that are no data are
found in `no_data.py`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.cell_kinds import is_value, like_value, no_value, value_columns, value_of
from marl_llm.tasks.csv.dialect import (
    BLANKS,
    DELIMITERS,
    WIDE_BLANKS,
    Overrides,
    Record,
    delimiter_name,
    detect_delimiter,
    records,
    separator_line,
)
from marl_llm.tasks.csv.encoding import TextFile
from marl_llm.tasks.csv.lines import clean_name, listed_lines
from marl_llm.tasks.csv.parsing import Layout

SAMPLE_CHARACTERS, SAMPLE_LINES = 65_536, 40
_MOST_CHARACTERS = 1 << 26  # a header of thousands of questions is read whole
_MOST_ABOVE = 30  # records above the header
_REGULAR, _VERY_REGULAR = 0.8, 0.95
_RARE = "~^¦\x01\x1f:"  # signs that some programs set between fields
_ENOUGH = 5  # rows that tell what a column holds
_MANY = 20  # rows of words alone that tell whether a line above them is another one
_FEW = 5  # lines in which a header is sought below an empty one


@dataclass(frozen=True)
class Head:
    """What stands above the rows of data.

    Attributes
    ----------
    layout : Layout
    names : list of str
        Of the columns, as they stand in the file; "" where there is none.
    notes : list of str
    regular : bool
        Whether there is a header and nothing above it but Excel's first line.
    """

    layout: Layout
    names: list[str]
    notes: list[str]
    regular: bool = False


@dataclass(frozen=True)
class _Sample:
    """The first lines of a file, `above` of which are no part of the table for certain."""

    text: str
    whole: bool
    above: int

    def records(self, delimiter: str) -> list[Record]:
        return records(self.text, delimiter, self.whole, first_line=self.above + 1)


def find_head(file: TextFile, says: Overrides, wanted: str | None = None) -> Head:
    """Find the table in a file, or place it where the user says; `wanted` is the name of one of its
    columns, if it has one.

    Raises
    ------
    UserError
        The file is empty, has no header, or names that do not fit are given.
    """
    sample, named = _sample(file, says)
    delimiter = says.delimiter or named or _delimiter(sample, says)
    found = sample.records(delimiter)
    if not found:
        raise UserError(f"{file.path} has no header: the first line must name the columns.")
    start = 0 if says.lines_above is not None else _start(found, delimiter) or 0
    if says.lines_above is None and says.header is None and wanted is not None:
        start = _named_start(found, start, wanted)
    notes = _notes_above(sample, found, start) if start else []
    skipped = found[start].first_line - 1 if start else sample.above
    header, body = found[start].fields, [record.fields for record in found[start + 1 :]]
    below = frozenset(line for line in says.lines or () if line > skipped)
    layout = Layout(delimiter, len(header), skipped, left_out=below)
    if isinstance(says.header, tuple):
        return _named(file, layout, says.header, notes)
    if says.header is False or (says.header is None and _is_data(header, body, wanted)):
        if says.header is None:
            notes.append(
                f"line {found[start].first_line} holds values like those below it, so it is no "
                f"header: the columns are called column_1 to column_{len(header)} (header: a list "
                "of names in the task file calls them otherwise, header: true takes the line as "
                "names)"
            )
        names = [f"column_{i}" for i in range(1, len(header) + 1)]
        return Head(replace(layout, header=False), names, notes)
    if _has_row_names(header, body):
        notes.append(
            "the header has one name less than the lines have fields: row names come first"
        )
        layout = replace(layout, width=len(header) + 1, row_names=True)
        return Head(layout, ["", *header], notes)
    return Head(layout, header, notes, skipped == (named is not None))


def _sample(file: TextFile, says: Overrides) -> tuple[_Sample, str | None]:
    """The beginning of a file below the lines that the user leaves out, and the delimiter that
    Excel's first line names.
    """
    with file.path.open(encoding=file.encoding, newline="") as lines:
        above = says.lines_above or 0
        text = "".join(islice(lines, above))
        named = separator_line(text)
        text = lines.read(SAMPLE_CHARACTERS)
        while text.count("\n") + text.count("\r") < SAMPLE_LINES and len(text) < _MOST_CHARACTERS:
            if not (more := lines.read(SAMPLE_CHARACTERS)):
                break
            text += more
        whole = not lines.read(1)
    if not text.strip():
        if above:
            raise UserError(
                f"{file.path} is empty below line {above}: let 'skip' leave out fewer lines."
            )
        raise UserError(f"{file.path} is empty: give a CSV with a header line and rows of data.")
    if above == 0 and (named := separator_line(text)):
        text, above = text[text.find("\n") + 1 or text.find("\r") + 1 :], 1
    return _Sample(text, whole, above), named


def _named(file: TextFile, layout: Layout, names: Sequence[str], notes: list[str]) -> Head:
    if len(names) != layout.width:
        raise UserError(
            f"{file.path} has {layout.width} columns ({delimiter_name(layout.delimiter)} "
            f"separated), but 'header' names {len(names)}: name each of them."
        )
    return Head(replace(layout, header=False), list(names), notes)


def _delimiter(sample: _Sample, says: Overrides) -> str:
    """The delimiter under which records are alike: from the first on, or from a header on that has
    other lines above it; runs of blanks if there is no other.
    """
    usual = detect_delimiter(sample.text, sample.whole)
    found = {delimiter: sample.records(delimiter) for delimiter in (*DELIMITERS, BLANKS)}
    if _share(found[usual]) >= _REGULAR:
        return BLANKS if usual == "\t" and _is_padded(found) else _hidden(usual, found) or usual
    starts = {} if says.lines_above is not None else {d: _start(r, d) for d, r in found.items()}
    for choice in ([d for d in DELIMITERS if d != "\t"], ["\t"], [BLANKS]):
        if choice == ["\t"] and _is_aligned(found):
            return BLANKS
        if fitting := {d: start for d in choice if (start := starts.get(d))}:
            return max(fitting, key=lambda d: (_share(found[d][fitting[d] :]), -fitting[d]))
    return usual if len(found[usual][0].fields) > 1 else _rare_delimiter(sample) or usual


def _rare_delimiter(sample: _Sample) -> str | None:
    """Another sign that sets as many fields apart in every record, or wide blanks between cells
    that hold single ones.
    """
    for delimiter in (*_RARE, WIDE_BLANKS):
        found = sample.records(delimiter)
        if delimiter == ":" and "::" in sample.text:
            continue
        if len(found) >= _ENOUGH and _share(found) == 1 and _is_header(found[0].fields):
            return delimiter
    return None


def _is_padded(found: dict[str, list[Record]]) -> bool:
    """Whether a tab is only one of the runs of blanks that set columns apart."""
    padded = [any("  " in cell.strip() for cell in record.fields) for record in found["\t"]]
    return _share(found[BLANKS]) >= _VERY_REGULAR and sum(padded) >= _VERY_REGULAR * len(padded)


def _is_aligned(found: dict[str, list[Record]]) -> bool:
    """Whether columns are set apart by runs of blanks from the first record on."""
    blanks = found[BLANKS]
    return (
        len(blanks) > 2
        and all(len(found[delimiter][0].fields) == 1 for delimiter in DELIMITERS)
        and (
            _share(blanks) >= _VERY_REGULAR
            or _has_row_names(blanks[0].fields, [record.fields for record in blanks[1:]])
        )
        and any(value_columns([r.fields for r in blanks[1:]], len(blanks[1].fields)))
    )


def _hidden(usual: str, found: dict[str, list[Record]]) -> str | None:
    """Another delimiter that stands in the cells of nearly every record, below a line above the
    header that happens to fit: `Report, 2024` above `a;1,5;x`.
    """
    for delimiter in DELIMITERS:
        start = None if delimiter == usual else _start(found[delimiter], delimiter)
        if (
            start
            and _share(found[delimiter][start:]) == 1
            and usual not in "".join(found[delimiter][start].fields)
        ):
            below = found[usual][start:]
            if sum(delimiter in "".join(r.fields) for r in below) >= _VERY_REGULAR * len(below):
                return delimiter
    return None


def _share(found: Sequence[Record]) -> float:
    """Share of the records that have as many fields as the first, or only empty ones more; 0 for
    one field.
    """
    width = len(found[0].fields) if found else 0
    if width < 2:
        return 0.0
    return sum(_width(record.fields, width) == width for record in found) / len(found)


def _width(fields: Sequence[str], width: int) -> int:
    """Number of fields; a table's own `width` where there are only empty ones more: separators at
    the end of the line.
    """
    return len(fields) if any(cell.strip() for cell in fields[width:]) else min(len(fields), width)


def _start(found: Sequence[Record], delimiter: str = "") -> int | None:
    """Position of a header that is not the first record, or None.

    Notes, titles and station lines above it have another number of fields, or are mostly empty. A
    header is filled, its names are different words, and below it at least one column holds values
    (or all above it are single cells).
    """
    if len(found) < _ENOUGH:
        return None
    width = Counter(len(record.fields) for record in found).most_common(1)[0][0]
    if width < 2 or not _is_above(found[0].fields, width):
        return None
    start = next(
        (i for i, record in enumerate(found[:_MOST_ABOVE]) if not _is_above(record.fields, width)),
        0,
    )
    start = _below_gap(found, start, width)
    body = [record.fields for record in found[start + 1 :]]
    regular = sum(len(fields) == width for fields in body) >= _REGULAR * len(body)
    if start == 0 or len(body) < 2 or not regular or not _is_header(found[start].fields):
        return None
    if any(other in "".join(found[start].fields) for other in ";|\t" if other != delimiter):
        return None
    single = all(_filled(record.fields) == 1 for record in found[:start])
    return start if single or any(value_columns(body, width)) else None


def _named_start(found: Sequence[Record], start: int, wanted: str) -> int:
    """Position of the header that names a column, where a line above it that is as wide does not:
    a title, a translation, names of groups.
    """
    for i, record in enumerate(found[start : start + _MOST_ABOVE], start=start):
        names = [clean_name(cell) for cell in record.fields]
        if wanted in names:
            values = any(is_value(name) for name in names if name)
            wide = len(names) == len(found[start].fields)
            return start if values or (i > start and not wide) else i
    return start


def _below_gap(found: Sequence[Record], start: int, width: int) -> int:
    """Position of a header below an empty line, where a line above it happens to be as wide."""
    for i in range(start + 1, min(start + _FEW, len(found))):
        fields = found[i].fields
        if not _is_header(fields) or _is_above(fields, width):
            break
        if start and found[i].first_line > found[i - 1].last_line + 1:
            return i
    return start


def _is_above(fields: Sequence[str], width: int) -> bool:
    """Whether a record of a table of this width can only stand above its header."""
    return _width(fields, width) != width or _filled(fields) <= max(1, width // 2)


def _filled(fields: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in fields)


def _is_header(fields: Sequence[str]) -> bool:
    names = [cell.strip() for cell in fields]
    filled = [name for name in names if name]
    return (
        len(filled) >= max(2, 0.6 * len(names))
        and len(set(filled)) == len(filled)
        and not any(is_value(name) for name in filled)
    )


def _is_data(header: Sequence[str], body: Sequence[Sequence[str]], wanted: str | None) -> bool:
    """Whether the first record is a row like the others.

    Each cell above a column of values is a value in or near the range of that column (years and
    running numbers as names are not), each cell above a column of repeated words is one of them.
    Or the column that is wanted is called by its position, and no name says so.
    """
    if wanted is not None and re.fullmatch(r"column_[1-9][0-9]*", wanted):
        return wanted not in map(clean_name, header) and int(wanted[7:]) <= len(header)
    rows = [fields for fields in body if len(fields) == len(header) and list(fields) != header]
    if len(rows) < _ENOUGH or len(header) < 2:
        return False
    columns = list(zip(*rows, strict=True))
    with_values = value_columns(rows, len(header))
    filled = [i for i, column in enumerate(columns) if header[i].strip() or any(column)]
    values = [(header[i], columns[i]) for i in filled if with_values[i]]
    words = [(header[i], columns[i]) for i in filled if not with_values[i]]
    known = [cell for cell, column in words if cell.strip() and cell in column]
    repeated = [cell for cell, column in words if 2 * len(set(column)) <= len(column)]
    if len(known) < len(repeated) or len(values) + len(known) < 2:
        return False
    if not values:
        return len(known) == len(words) and len(rows) >= _MANY
    present = [(cell, column) for cell, column in values if not no_value(cell)]
    return (
        bool(present)
        and all(is_value(cell) or (like_value(cell) and cell in column) for cell, column in present)
        and not _counts([cell for cell, _ in present])
        and sum(_is_near(cell, column) for cell, column in present) >= _REGULAR * len(present)
    )


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells are whole numbers in equal steps, as of years or numbered columns."""
    if len(cells) < 2 or not all(cell.strip().isdecimal() for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    steps = {after - before for before, after in pairwise(numbers)}
    return len(steps) == 1 and steps != {0}


def _is_near(cell: str, column: Sequence[str]) -> bool:
    if cell in column:
        return True
    value = value_of(cell)
    values = [v for other in column if (v := value_of(other)) == v]
    low, high = min(values, default=math.nan), max(values, default=math.nan)
    return low - (high - low) <= value <= high + (high - low)


def _has_row_names(header: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether each record begins with a different name that the header has no column for (R)."""
    wider = [fields for fields in body if len(fields) == len(header) + 1]
    first = [fields[0].strip() for fields in wider]
    return (
        len(wider) >= _ENOUGH
        and len(wider) == len(body)
        and all(first)
        and len(set(first)) == len(first)
        and (_counts(first) or not any(is_value(cell) for cell in first))
        and any(fields[-1].strip() for fields in wider)
        and not any(is_value(cell) for cell in header)
    )


def _notes_above(sample: _Sample, found: Sequence[Record], start: int) -> list[str]:
    first, header = sample.above + 1, found[start].first_line
    shown = " ".join(" ".join(found[0].fields).split())[:40]
    return [
        f"{listed_lines(range(first, header))} above the header left out ('{shown}'; in the task "
        f"file skip: {header - 1} says so, skip: {sample.above} takes line {first} as the header)"
    ]
