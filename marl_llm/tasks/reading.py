"""From a CSV file as people have them to a frame of strings.

In: a path. Out: a `Table`: every cell as stripped text, unique column names, and the `Dialect` that was found
(encoding, delimiter, decimal mark). What the text means (numbers, categories, missing) is decided in `columns.py`, not
here.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from marl_llm.errors import UserError

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_SAMPLE_CHARACTERS = 65_536
_SAMPLE_RECORDS = 200
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+,\d+|\d+,(\d{1,2}|\d{4,})|(0|\d{4,}),\d{3})$")
_DECIMAL_POINT = re.compile(r"[+-]?(\d{1,3}(,\d{3})+\.\d+|\d*\.(\d{1,2}|\d{4,})|(0|\d{4,})\.\d{3})$")
_EITHER_COMMA = re.compile(r"[+-]?\d{1,3},\d{3}$")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, in the words of `pandas.read_csv`.

    Attributes
    ----------
    encoding : str
        "utf-8", "utf-8-sig" (with byte order mark), "utf-16", "latin-1" or "cp1252".
    delimiter : str
        One of `, ; tab |`.
    decimal : str
        "." or ",".
    """

    encoding: str
    delimiter: str
    decimal: str

    @property
    def note(self) -> str:
        """One phrase for people."""
        mark = {",": "comma", ".": "point"}[self.decimal]
        return f"read as {self.encoding}, {_DELIMITERS[self.delimiter]} separated, decimal {mark}"


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV as text: `frame` holds stripped strings under unique column names; `notes` say what was unusual."""

    frame: pd.DataFrame
    dialect: Dialect
    notes: tuple[str, ...]


def read_csv(path: Path | str) -> Table:
    """Read a CSV of unknown encoding, delimiter and decimal mark.

    Raises
    ------
    UserError
        If the file is missing, a directory, unreadable, empty, not text, has a header only, or has rows of differing
        length.
    """
    path = Path(path)
    text, encoding = _decode(_bytes_of(path), path)
    if not text.strip():
        raise UserError(f"{path} is empty: give a CSV with a header line and rows of data.")
    delimiter = _detect_delimiter(text)
    header = _header(text, delimiter)
    names, notes = unique_names(header)
    frame = _parse(text, delimiter, names, path)
    if frame.empty:
        raise UserError(f"{path} has a header but no rows of data.")
    dialect = Dialect(encoding, delimiter, _detect_decimal(frame, delimiter))
    return Table(frame, dialect, (dialect.note, *notes))


def unique_names(header: Iterable[object]) -> tuple[list[str], list[str]]:
    """Clean column names: empty ones named by their position, repeated ones numbered; with notes on changes."""
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


def _bytes_of(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path} is a directory: give the path of a CSV file.")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: check the path.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None


def _decode(data: bytes, path: Path) -> tuple[str, str]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif data.startswith(b"\xef\xbb\xbf"):
        encodings = ["utf-8-sig"]
    elif b"\x00" in data:
        raise UserError(f"{path} is not a text file: save the table as CSV first.")
    elif re.search(rb"[\x80-\x9f]", data):  # control characters in latin-1, quotes and dashes in cp1252
        encodings = ["utf-8", "cp1252", "latin-1"]
    else:
        encodings = ["utf-8", "latin-1"]
    for encoding in encodings:
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise UserError(f"{path} is not valid {encodings[0]} text: save it as UTF-8.")


def _records(text: str, delimiter: str, limit: int) -> list[list[str]]:
    """The first non-empty records of the text."""
    sample = text[:_SAMPLE_CHARACTERS]
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True):
            if any(cell.strip() for cell in record):
                records.append(record)
            if len(records) == limit:
                return records
    except csv.Error:  # a field longer than the csv module's limit: an unclosed quote under a wrong delimiter
        return records[:1]
    return records[:-1] if len(text) > len(sample) and len(records) > 1 else records


def _detect_delimiter(text: str) -> str:
    """The delimiter under which most records have as many fields as the header; more fields break ties."""

    def agreement(delimiter: str) -> tuple[float, int]:
        records = _records(text, delimiter, _SAMPLE_RECORDS)
        width = len(records[0]) if records else 0
        same = sum(len(record) == width for record in records) / max(len(records), 1)
        return (same if width > 1 else 0.0), width

    return max(_DELIMITERS, key=agreement)


def _header(text: str, delimiter: str) -> list[str]:
    records = _records(text, delimiter, 2)
    return records[0] if records else []


def _parse(text: str, delimiter: str, names: list[str], path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text, newline=""),
                sep=delimiter,
                header=0,
                names=names,
                index_col=False,
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
                skip_blank_lines=True,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise UserError(_ragged(str(error), len(names), delimiter, path)) from None
    frame = frame.apply(lambda column: column.str.strip())
    return frame.loc[(frame != "").any(axis=1)].reset_index(drop=True)


def _ragged(error: str, width: int, delimiter: str, path: Path) -> str:
    found = re.search(r"line (\d+), saw (\d+)", error)
    if found:
        line, saw = found.groups()
        return (
            f"{path}, line {line}, has {saw} fields where the header has {width} ({_DELIMITERS[delimiter]} separated): "
            "quote fields that contain the separator."
        )
    if "EOF inside string" in error:
        return f"{path} has a quotation mark that is never closed: double it or remove it."
    where = f"({_DELIMITERS[delimiter]} separated)"
    return f"{path} has rows with more fields than the header's {width} {where}: name every column."


def _detect_decimal(frame: pd.DataFrame, delimiter: str) -> str:
    """The decimal mark, from numbers that can be read in one way only; else what goes with the delimiter."""
    cells = frame.head(_SAMPLE_RECORDS * 5).to_numpy(dtype=object).ravel().tolist()
    commas = sum(_DECIMAL_COMMA.match(cell) is not None for cell in cells)
    points = sum(_DECIMAL_POINT.match(cell) is not None for cell in cells)
    if commas == points == 0 and delimiter == ";":
        commas = sum(_EITHER_COMMA.match(cell) is not None for cell in cells)
    return "," if commas > points else "."
