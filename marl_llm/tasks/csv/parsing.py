"""The records of a CSV, as columns of text.

In: a file of known encoding, a delimiter and the number of fields of its header. Out: an Arrow
table of stripped strings, without the header. Two readers that agree: pyarrow's, an order of
magnitude faster, for files without any irregularity; and the standard library's, which counts
lines, for the rest.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pyarrow import csv as arrow_csv

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.cell_kinds import is_value, is_word
from marl_llm.tasks.csv.dialect import Record, delimiter_name, split_lines
from marl_llm.tasks.csv.encoding import TextFile
from marl_llm.tasks.csv.total_words import NOTE

_arrow: Any = (
    pyarrow.compute
)  # its functions are made when it is imported: checkers do not see them
_ROWS_AT_A_TIME = 20_000
_SHOWN = 60
_NOTE = re.compile(NOTE)
_NOTES_BELOW, _ROWS_ABOVE_NOTES = 10, 20


@dataclass(frozen=True)
class Layout:
    """How the records of a file stand in it: the delimiter, the number of columns, lines in front
    of the header, whether there is one, whether rows begin with a name that it has no column for,
    and lines below it that are no data.
    """

    delimiter: str
    width: int
    skipped: int
    header: bool = True
    row_names: bool = False
    left_out: frozenset[int] = frozenset()

    @property
    def names(self) -> list[str]:
        """Column names of the Arrow table."""
        return [f"f{i}" for i in range(self.width)]


@dataclass(frozen=True, eq=False)
class Parsed:
    """All rows of data.

    Attributes
    ----------
    table : Table
        Stripped text under the names of the layout.
    short : list of int
        Lines of rows with too few fields.
    left_out : list of Record
        Rows on the lines of `layout.left_out`, and notes at the end that have too many fields.
    lines : ndarray, shape (rows,), or None
        The line that each row begins on, where the careful reader was needed.
    ragged : bool
        Whether records have more fields than the header, if only empty ones.
    """

    table: pa.Table
    short: list[int]
    left_out: list[Record]
    lines: np.ndarray | None = None
    ragged: bool = False


def parse(file: TextFile, layout: Layout) -> Parsed:
    """All records below the header that are not empty and not left out.

    Records with too few fields are filled with empty ones, with a note; a record that goes over
    several lines and has too few fields is an error, because a stray quotation mark does that.

    Raises
    ------
    UserError
        Names the line of a record with too many fields, of a broken one, or of a quotation mark
        that is never closed.
    """
    regular = file.even_quotes and not layout.row_names and layout.delimiter.isascii()
    regular = regular and len(layout.delimiter) == 1
    fast = _parse_fast(file, layout) if regular else None
    columns = None if fast is None else _stripped(fast)
    if columns is None or any(
        _arrow.any(_arrow.starts_with(column, '"')).as_py() for column in columns
    ):
        return _parse_carefully(
            file, layout
        )  # pyarrow takes a blank before a quotation mark for content
    table = _without_empty_rows(pa.table(columns, layout.names)).slice(int(layout.header))
    if not layout.left_out:
        return Parsed(table, [], [])
    lines = row_lines(file, layout)
    return without_rows(
        Parsed(table, [], [], lines), np.flatnonzero(np.isin(lines, list(layout.left_out)))
    )


def without_rows(parsed: Parsed, positions: np.ndarray) -> Parsed:
    """The same without some rows; `lines` must be known."""
    lines = parsed.lines
    assert lines is not None
    gone = parsed.table.take(pa.array(positions))
    cells = zip(*(column.to_pylist() for column in gone.columns), strict=True)
    left_out = [
        Record(list(row), line, line)
        for row, line in zip(cells, lines[positions].tolist(), strict=True)
    ]
    kept = np.ones(len(lines), dtype=bool)
    kept[positions] = False
    return replace(
        parsed,
        table=parsed.table.filter(pa.array(kept)),
        left_out=[*parsed.left_out, *left_out],
        lines=lines[kept],
    )


def row_lines(file: TextFile, layout: Layout) -> np.ndarray:
    """The line that each row of data of a file without any irregularity begins on, left out or
    not.
    """
    lines = [record.first_line for record in _numbered_records(file, layout)]
    return np.array(lines[int(layout.header) :], dtype=np.int64)


def _stripped(columns: list[pa.ChunkedArray]) -> list[pa.ChunkedArray]:
    """Columns without white space around their cells; the given list is emptied, so that each frees
    its original.
    """
    return [_arrow.utf8_trim_whitespace(columns.pop(0)) for _ in range(len(columns))]


def _parse_fast(file: TextFile, layout: Layout) -> list[pa.ChunkedArray] | None:
    """The columns by pyarrow, or None where the careful reader is needed."""
    try:
        table = arrow_csv.read_csv(
            file.path,
            read_options=arrow_csv.ReadOptions(
                column_names=layout.names,
                skip_rows=layout.skipped,
                encoding=_arrow_encoding(file.encoding),
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=layout.delimiter, newlines_in_values=True
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(layout.names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeError):
        return None
    return table.columns


def _arrow_encoding(encoding: str) -> str:
    return "utf-8" if encoding == "utf-8-sig" else encoding


def _parse_carefully(file: TextFile, layout: Layout) -> Parsed:
    """The same by the standard library's reader, record by record."""
    blocks: list[list[pa.Array]] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    short: list[int] = []
    long: list[Record] = []
    left_out: list[Record] = []
    ragged = False
    records = _numbered_records(file, layout)
    if layout.header:
        next(records, None)
    for record in records:
        if record.first_line in layout.left_out:
            left_out.append(record)
            continue
        fields = record.fields
        if len(fields) > layout.width and any(cell.strip() for cell in fields[layout.width :]):
            long.append(record)
            continue
        ragged = ragged or len(fields) > layout.width
        if len(fields) < layout.width:
            _check_short(record, layout, file)
            short.append(record.first_line)
        lines.append(record.first_line)
        rows.append(fields[: layout.width] + [""] * (layout.width - len(fields)))
        if len(rows) == _ROWS_AT_A_TIME:
            blocks.append(_columns_of(rows))
            rows = []
        if long:
            _check_long(long, lines, layout, file)
    _check_long(long, lines, layout, file)
    blocks.append(_columns_of(rows) if rows else [pa.array([], pa.string())] * layout.width)
    columns = [pa.chunked_array(parts) for parts in zip(*blocks, strict=True)]
    return Parsed(
        pa.table(_stripped(columns), layout.names),
        short,
        [*left_out, *long],
        np.array(lines, dtype=np.int64),
        ragged or bool(long),
    )


def _check_long(long: list[Record], lines: Sequence[int], layout: Layout, file: TextFile) -> None:
    """An error for records with too many fields, but for a few notes at the end of a table."""
    if long and (
        len(long) > _NOTES_BELOW
        or not all(_is_note(record, layout) for record in long)
        or sum(line < long[0].first_line for line in lines[: _ROWS_ABOVE_NOTES + 1])
        < _ROWS_ABOVE_NOTES
        or (len(lines) > _NOTES_BELOW and lines[-_NOTES_BELOW] > long[0].first_line)
    ):
        _too_long(long[0], layout, file)


def refuse_long(records: Sequence[Record], layout: Layout, file: TextFile) -> None:
    """An error for left out records with too many fields whose lines nobody named."""
    named = set(layout.left_out)
    for record in records:
        if len(record.fields) > layout.width and record.first_line not in named:
            _too_long(record, layout, file)


def _is_note(record: Record, layout: Layout) -> bool:
    first, *others = record.fields[: layout.width]
    return is_word(first) and (bool(_NOTE.match(first)) or not any(map(is_value, others)))


def _numbered_records(file: TextFile, layout: Layout) -> Iterator[Record]:
    """Records that are not empty."""
    with file.path.open(encoding=file.encoding, newline="") as lines:
        quotes = _QuoteCounter(lines)
        for _ in range(layout.skipped):
            next(quotes, None)
        quotes.seen = 0
        reader = split_lines(quotes, layout.delimiter)
        record = Record([], 0, layout.skipped)
        try:
            for fields in reader:
                record = Record(fields, record.last_line + 1, reader.line_num + layout.skipped)
                if any(cell.strip() for cell in fields):
                    yield record
                quotes.before, quotes.seen = quotes.seen, 0
        except csv.Error:
            _broken(
                record.last_line + 1,
                f"a field of more than {csv.field_size_limit():,} characters",
                file,
            )
        if quotes.before % 2 and record.last_line > record.first_line:
            _broken(record.first_line, "a quotation mark that is never closed", file)


class _QuoteCounter:
    """Lines of a file, counting the quotation marks of the present record (`seen`) and of the one
    `before`.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self.before = self.seen = 0
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.seen += line.count('"')
        return line


def _columns_of(rows: list[list[str]]) -> list[pa.Array]:
    return [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]


def _check_short(record: Record, layout: Layout, file: TextFile) -> None:
    if record.last_line > record.first_line:
        raise UserError(
            f"{file.path}, lines {record.first_line} to {record.last_line}, are read as one record "
            f"of {len(record.fields)} fields where the header has {layout.width}: the quotation "
            "mark that joins them may be a stray one, so double it or remove "
            f"it{_shown(record, layout)}."
        )


def short_notes(parsed: Parsed, layout: Layout) -> list[str]:
    """What to say of rows of data with too few fields."""
    gone = {record.first_line for record in parsed.left_out}
    short = [line for line in parsed.short if line not in gone]
    if not short:
        return []
    lines = (
        f"line {short[0]} has"
        if len(short) == 1
        else f"{len(short)} lines, the first of them line {short[0]}, have"
    )
    return [f"{lines} fewer than {layout.width} fields: the last ones are read as missing"]


def _too_long(record: Record, layout: Layout, file: TextFile) -> NoReturn:
    raise UserError(
        f"{file.path}, line {record.first_line}, has {len(record.fields)} fields where the header "
        f"has {layout.width} ({delimiter_name(layout.delimiter)} separated): quote fields that "
        f"contain the separator, or name every column; for lines that are no data, skip in a task "
        f"file takes their numbers{_shown(record, layout)}."
    )


def _broken(line: int, what: str, file: TextFile) -> NoReturn:
    raise UserError(
        f"{file.path}, line {line}, has {what}: double the quotation mark or remove it."
    )


def _shown(record: Record, layout: Layout) -> str:
    """The record in brackets, shortened."""
    text = " ".join(layout.delimiter.join(record.fields).split())
    return f" ({text if len(text) <= _SHOWN else text[:_SHOWN] + ' ...'})" if text else ""


def _without_empty_rows(table: pa.Table) -> pa.Table:
    empty = _arrow.equal(table.column(0), "")
    for column in table.columns[1:]:
        if not _arrow.any(empty).as_py():
            return table
        empty = _arrow.and_(empty, _arrow.equal(column, ""))
    return table.filter(_arrow.invert(empty)) if _arrow.any(empty).as_py() else table
