"""The records of a CSV, as columns of text.

In: a file of known encoding, a delimiter and the number of fields of its header. Out: an Arrow
table of stripped strings, the header among its rows. Two readers that agree: pyarrow's, an order of
magnitude faster, for files without any irregularity; and the standard library's, which counts
lines, for the rest.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute
from pyarrow import csv as arrow_csv

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.dialect import delimiter_name
from marl_llm.tasks.csv.encoding import TextFile

_arrow: Any = (
    pyarrow.compute
)  # its functions are made when it is imported: checkers do not see them
_ROWS_AT_A_TIME = 20_000
_SHOWN = 60


@dataclass(frozen=True)
class Layout:
    """How the records of a file stand in it: the delimiter, the width of the header, lines in front
    of it.
    """

    delimiter: str
    width: int
    skipped: int

    @property
    def names(self) -> list[str]:
        """Column names of the Arrow table."""
        return [f"f{i}" for i in range(self.width)]


def parse(file: TextFile, layout: Layout) -> tuple[pa.Table, list[str]]:
    """All records that are not empty, as stripped text under the names of the layout, and notes.

    Records with too few fields are filled with empty ones, with a note; a record that goes over
    several lines and has too few fields is an error, because a stray quotation mark does that.

    Raises
    ------
    UserError
        Names the line of a record with too many fields, of a broken one, or of a quotation mark
        that is never closed.
    """
    notes: list[str] = []
    fast = _parse_fast(file, layout) if file.even_quotes else None
    columns = None if fast is None else _stripped(fast)
    if columns is None or any(
        _arrow.any(_arrow.starts_with(column, '"')).as_py() for column in columns
    ):
        careful, notes = _parse_carefully(
            file, layout
        )  # pyarrow takes a blank before a quotation mark for content
        columns = _stripped(careful)
    return _without_empty_rows(pa.table(columns, layout.names)), notes


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


def _parse_carefully(file: TextFile, layout: Layout) -> tuple[list[pa.ChunkedArray], list[str]]:
    """The columns by the standard library's reader, record by record."""
    blocks: list[list[pa.Array]] = []
    rows: list[list[str]] = []
    short: list[int] = []
    for record in _numbered_records(file, layout):
        if len(record.fields) < layout.width:
            _check_short(record, layout, file)
            short.append(record.first_line)
        rows.append(record.fields + [""] * (layout.width - len(record.fields)))
        if len(rows) == _ROWS_AT_A_TIME:
            blocks.append(_columns_of(rows))
            rows = []
    blocks.append(_columns_of(rows) if rows else [pa.array([], pa.string())] * layout.width)
    return [pa.chunked_array(parts) for parts in zip(*blocks, strict=True)], _short_notes(
        short, layout
    )


@dataclass(frozen=True)
class _Record:
    """One record and the lines of the file it stands on, counted from 1."""

    fields: list[str]
    first_line: int
    last_line: int


def _numbered_records(file: TextFile, layout: Layout) -> Iterator[_Record]:
    """Records that are not empty; none is too long."""
    with file.path.open(encoding=file.encoding, newline="") as lines:
        quotes = _QuoteCounter(lines)
        for _ in range(layout.skipped):
            next(quotes)
        reader = csv.reader(quotes, delimiter=layout.delimiter, skipinitialspace=True)
        record = _Record([], 0, layout.skipped)
        try:
            for fields in reader:
                record = _Record(fields, record.last_line + 1, reader.line_num + layout.skipped)
                if len(fields) > layout.width:
                    _too_long(record, layout, file)
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


def _check_short(record: _Record, layout: Layout, file: TextFile) -> None:
    if record.last_line > record.first_line:
        raise UserError(
            f"{file.path}, lines {record.first_line} to {record.last_line}, are read as one record "
            f"of {len(record.fields)} fields where the header has {layout.width}: the quotation "
            "mark that joins them may be a stray one, so double it or remove "
            f"it{_shown(record, layout)}."
        )


def _short_notes(short: list[int], layout: Layout) -> list[str]:
    if not short:
        return []
    lines = (
        f"line {short[0]} has"
        if len(short) == 1
        else f"{len(short)} lines, the first of them line {short[0]}, have"
    )
    return [f"{lines} fewer than {layout.width} fields: the last ones are read as missing"]


def _too_long(record: _Record, layout: Layout, file: TextFile) -> NoReturn:
    raise UserError(
        f"{file.path}, line {record.first_line}, has {len(record.fields)} fields where the header "
        f"has {layout.width} ({delimiter_name(layout.delimiter)} separated): quote fields that "
        f"contain the separator, or name every column{_shown(record, layout)}."
    )


def _broken(line: int, what: str, file: TextFile) -> NoReturn:
    raise UserError(
        f"{file.path}, line {line}, has {what}: double the quotation mark or remove it."
    )


def _shown(record: _Record, layout: Layout) -> str:
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
