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
from dataclasses import dataclass

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns.cells import BLANK, CURRENCY

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
SAMPLE_CHARACTERS = 65_536
_SAMPLE_RECORDS = 200
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
        One character, mostly one of `, ; tab |`.
    decimal : str
        "." or ",".
    missing : tuple of str
        Words that mean missing, besides the usual ones.
    skipped : int
        Lines in front of the header: 1 where Excel's `sep=;` names the delimiter, else 0.
    """

    encoding: str
    delimiter: str
    decimal: str
    missing: tuple[str, ...] = ()
    skipped: int = 0

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

    Raises
    ------
    UserError
        For a delimiter that is no single character, a decimal mark that is none.
    """

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    missing: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _delimiter(self.delimiter))
        if self.decimal is not None and self.decimal not in (".", ","):
            raise UserError(f"The decimal mark '{self.decimal}' is none: name '.' or ','.")
        words = (self.missing,) if isinstance(self.missing, str) else self.missing
        object.__setattr__(
            self, "missing", tuple(dict.fromkeys(str(word).strip() for word in words))
        )


def delimiter_name(delimiter: str) -> str:
    """A word for a delimiter."""
    return DELIMITERS.get(delimiter, f"'{delimiter}'")


def separator_line(sample: str) -> str | None:
    """The delimiter that Excel's first line `sep=;` names, or None."""
    found = _SEPARATOR_LINE.match(sample)
    return found[1] if found else None


def records(
    sample: str, delimiter: str, whole: bool, limit: int = _SAMPLE_RECORDS
) -> list[list[str]]:
    """The first non-empty records of a text; `whole` says that it does not end in the middle of
    one.
    """
    found: list[list[str]] = []
    try:
        for record in csv.reader(
            io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True
        ):
            if any(cell.strip() for cell in record):
                found.append(record)
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
        width = len(found[0]) if found else 0
        same = sum(len(record) == width for record in found) / max(len(found), 1)
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
    words = {word: mark for mark, word in DELIMITERS.items()} | {
        "\\t": "\t",
        "blank": " ",
        "space": " ",
    }
    mark = words.get(named.lower(), named)
    if len(mark) != 1 or mark.isalnum() or mark in '"\r\n':
        raise UserError(
            f"The delimiter '{named}' can't separate fields: name one character, such as "
            "';', or 'tab'."
        )
    return mark
