"""How a CSV is written: delimiter, decimal mark, words that mean missing; found in a sample of it,
or named by people.

In: the first characters of a file and some of its cells. Out: a `Dialect`. What the cells mean is
decided in `columns.py`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns.cells import BLANK, CURRENCY

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
BLANKS = r"\s+"
"""The delimiter of columns that are aligned with runs of blanks or tabs."""
WIDE_BLANKS = r"\s{2,}"
"""The same, where cells hold single blanks."""
WORDS = DELIMITERS | {BLANKS: "blank", WIDE_BLANKS: "blanks"}
"""What people call each of them."""
_SAMPLE_RECORDS = 200
_RUNS = {
    BLANKS: re.compile(r'("(?:[^"]|"")*")|[ \t]+'),
    WIDE_BLANKS: re.compile(r'("(?:[^"]|"")*")|[ \t]{2,}|\t'),
}
_SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?[\r\n]", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(
    r"[+-]?(\d{1,3}([. ]\d{3})+,\d+|\d+,(\d{1,2}|\d{4,})|(0|\d{4,}),\d{3})$"
)
_DECIMAL_POINT = re.compile(
    r"[+-]?(\d{1,3}([, ]\d{3})+\.\d+|\d*\.(\d{1,2}|\d{4,})|(0|\d{4,})\.\d{3})$"
)
_AFFIX = re.compile(rf"^{CURRENCY}{BLANK}?|{BLANK}?(?:%|{CURRENCY})$")
_EITHER_COMMA = re.compile(r"[+-]?\d{1,3},\d{3}$")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    encoding : str
        A Python codec: "utf-8", "utf-8-sig" (with byte order mark), "utf-16", "latin-1", "cp1252"
        or another.
    delimiter : str
        One character, mostly one of `, ; tab |`, or `BLANKS`.
    decimal : str
        "." or ",".
    missing : tuple of str
        Words that mean missing, besides the usual ones.
    skipped : int
        Lines in front of the header: 1 where Excel's `sep=;` names the delimiter, or notes.
    header : tuple of str, or None
        Names of the columns of a file without a header; None where the file names them.
    left_out : tuple of int
        Lines below the header that are no data.
    marks : tuple of (int, str)
        What tells the rows on those lines from others, to read other files of this kind: the
        position of a cell and its text as `no_data.mark_text` writes it.
    row_names : bool
        Whether rows begin with names that the header has no column for.
    regular : bool
        Whether the file is a header and rows of its width, but for Excel's first line.
    named_decimal : bool
        Whether the user named the decimal mark: then it is that of all columns that leave a choice.
    remarks : tuple of str
        What was unusual, and what can be said to read it otherwise.
    """

    encoding: str
    delimiter: str
    decimal: str
    missing: tuple[str, ...] = ()
    skipped: int = 0
    header: tuple[str, ...] | None = None
    left_out: tuple[int, ...] = ()
    marks: tuple[tuple[int, str], ...] = ()
    row_names: bool = False
    regular: bool = True
    named_decimal: bool = field(default=False, compare=False)
    remarks: tuple[str, ...] = ()

    @property
    def overrides(self) -> Overrides:
        """What, said by the user, reads the file as it was read."""
        skip = (*range(1, self.skipped + 1), *self.left_out)
        header = self.header if self.header is not None else True
        return Overrides(self.encoding, self.delimiter, self.decimal, self.missing, skip, header)

    @property
    def note(self) -> str:
        """One phrase for people."""
        mark = {",": "comma", ".": "point"}[self.decimal]
        return (
            f"read as {self.encoding}, {delimiter_name(self.delimiter)} separated, decimal {mark}"
        )


@dataclass(frozen=True)
class Overrides:
    """What the user says of a CSV; None is to be detected. Checked when made.

    Attributes
    ----------
    encoding, delimiter, decimal : str
    missing : tuple of str
        Words that mean missing, besides the usual ones.
    skip : int or tuple of int
        How many lines stand above the header; or the numbers of all lines that are no part of the
        table, and then no other row is left out.
    header : bool or tuple of str
        Whether the first line names the columns; or their names where none does.

    Raises
    ------
    UserError
        For a delimiter that is no single character, a decimal mark that is none, line numbers
        below 1.
    """

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    missing: Sequence[str] = ()
    skip: int | Sequence[int] | None = None
    header: bool | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _delimiter(self.delimiter))
        if self.decimal is not None and self.decimal not in (".", ","):
            raise UserError(f"The decimal mark '{self.decimal}' is none: name '.' or ','.")
        words = (self.missing,) if isinstance(self.missing, str) else self.missing
        object.__setattr__(
            self, "missing", tuple(dict.fromkeys(str(word).strip() for word in words))
        )
        if self.skip is not None and not isinstance(self.skip, int):
            object.__setattr__(self, "skip", tuple(sorted(set(self.skip))))
        if any(line < 1 for line in self.lines or ()) or (self.lines_above or 0) < 0:
            raise UserError(
                f"'skip' holds {self.skip!r}: give the number of lines above the header, or a list "
                "of line numbers from 1."
            )
        if self.header is not None and not isinstance(self.header, bool):
            object.__setattr__(self, "header", tuple(str(name) for name in self.header))

    @property
    def lines(self) -> tuple[int, ...] | None:
        """All lines that are no part of the table, or None where rows that are none are looked
        for.
        """
        return self.skip if isinstance(self.skip, tuple) else None

    @property
    def lines_above(self) -> int | None:
        """How many lines stand above the header, or None where that is looked for."""
        if self.lines is None:
            return self.skip if isinstance(self.skip, int) else None
        return next(i for i, line in enumerate((*self.lines, 0)) if line != i + 1)


@dataclass(frozen=True)
class Record:
    """One record and the lines of the file it stands on, counted from 1."""

    fields: list[str]
    first_line: int
    last_line: int


def delimiter_name(delimiter: str) -> str:
    """A word for a delimiter."""
    return WORDS.get(delimiter, f"'{delimiter}'")


def separator_line(sample: str) -> str | None:
    """The delimiter that Excel's first line `sep=;` names, or None."""
    found = _SEPARATOR_LINE.match(sample)
    return found[1] if found else None


def split_lines(lines: Iterable[str], delimiter: str) -> Reader:
    """The standard library's reader of lines, for runs of blanks as well."""
    if delimiter in _RUNS:
        runs = _RUNS[delimiter]
        lines = (runs.sub(lambda found: found[1] or "\t", line.strip()) for line in lines)
        delimiter = "\t"
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def records(
    sample: str,
    delimiter: str,
    whole: bool,
    limit: int = _SAMPLE_RECORDS,
    first_line: int = 1,
) -> list[Record]:
    """The first non-empty records of a text; `whole` says that it does not end in the middle of
    one, `first_line` is the number of its first line.
    """
    found: list[Record] = []
    last = first_line - 1
    reader = split_lines(io.StringIO(sample, newline=""), delimiter)
    try:
        for fields in reader:
            first, last = last + 1, first_line - 1 + reader.line_num
            if any(cell.strip() for cell in fields):
                found.append(Record(fields, first, last))
            if len(found) == limit:
                return found
    except (
        csv.Error
    ):  # a field longer than the csv module's limit: an unclosed quote under a wrong delimiter
        return found[:1]
    return found if whole or len(found) < 2 else found[:-1]


def detect_delimiter(sample: str, whole: bool) -> str:
    """The delimiter under which most records have as many fields as the header; more fields break
    ties.
    """

    def agreement(delimiter: str) -> tuple[float, int]:
        found = records(sample, delimiter, whole)
        width = len(found[0].fields) if found else 0
        same = sum(len(record.fields) == width for record in found) / max(len(found), 1)
        return (same if width > 1 else 0.0), width

    return max(DELIMITERS, key=agreement)


def detect_decimal(cells: Iterable[str], delimiter: str) -> str:
    """The decimal mark, from numbers that can be read in one way only; else what goes with the
    delimiter.
    """
    bare = [
        cell if cell[:1] in "0123456789-" and cell[-1:].isdigit() else _AFFIX.sub("", cell)
        for cell in cells
    ]
    commas = sum(_DECIMAL_COMMA.match(cell) is not None for cell in bare)
    points = sum(_DECIMAL_POINT.match(cell) is not None for cell in bare)
    if commas == points == 0 and delimiter == ";":
        commas = sum(_EITHER_COMMA.match(cell) is not None for cell in bare)
    return "," if commas > points else "."


def _delimiter(named: str) -> str:
    words = {word: mark for mark, word in WORDS.items()} | {"\\t": "\t", "space": BLANKS}
    mark = words.get(named.lower(), named)
    if mark in _RUNS:
        return mark
    if len(mark) != 1 or mark.isalnum() or mark in '"\r\n':
        raise UserError(
            f"The delimiter '{named}' can't separate fields: name one character, such as "
            "';', or 'tab'."
        )
    return mark
