"""The part of a delivered `solution.py` that is the same for every CSV: reading, fitting,
predicting, the command line.

`solution.py` is a header, the constants of its CSV, `build_pipeline()`, and then what `main` of
this module reaches, here and in `marl_llm.tasks.columns`; that uses the standard library, pandas
and numpy only. The constants and the pipeline below are an example that keeps this file whole for
checkers; `marl_llm.solve.solution` writes the real ones.
"""

from __future__ import annotations

import csv
import random
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.proposals import baseline, compile
from marl_llm.tasks.columns import MISSING_WORDS
from marl_llm.tasks.columns.cells import numbers_of
from marl_llm.tasks.columns.dates import days_since_1970
from marl_llm.tasks.columns.readings import EXCEL_EPOCH, READINGS

ENCODING, DELIMITER, DECIMAL = "latin-1", ";", ","
TARGET_NAME, TARGET_READING = "y", ("text",)
CLASSES: tuple[str, ...] = ("no", "yes")
COLUMNS: dict[str, tuple[Any, ...]] = {"x0": ("age", "number", ","), "x1": ("city", "text")}
OWN_MISSING_WORDS: dict[str, list[str]] = {}
SEED = 0
REGULAR, SKIP, ROW_NAMES, MERGED_LABELS = True, 0, False, False
HEADER: tuple[str, ...] = ()
NO_DATA: tuple[tuple[int, str], ...] = ()


def build_pipeline() -> Any:
    """Stands for the delivered pipeline."""
    return compile(baseline(Kind.binary))


def read(path: str) -> pd.DataFrame:
    """Read a CSV as text: stripped cells under the columns' own names, numbers with the decimal
    mark that the CSV had which this was made for.
    """
    encoding, delimiter = _dialect(path)
    frame = pd.DataFrame()
    with Path(path).open(encoding=encoding, newline="") as file:
        if REGULAR:
            frame = _table(file, path, delimiter)
        if not REGULAR:
            frame = _rows_of_data(list(file), path, delimiter)
    try:
        return _with_known_marks(frame, delimiter, path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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
    return table.iloc[1:].set_axis(_unique_names(table.iloc[0]), axis=1).reset_index(drop=True)


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
        if any(cells) and not _is_no_data(cells) and _unique_names(cells) != names:
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
        names = _unique_names([""] * ROW_NAMES + cells)
        if len(wanted & set(map(_clean_name, cells) if HEADER else names)) >= enough:
            return names, above
    if HEADER:
        return [], SKIP
    for above, cells in _records(lines[SKIP:], delimiter, SKIP):
        if any(cells):
            return _unique_names([""] * ROW_NAMES + cells), above
    return [], len(lines)


def _records(
    lines: Iterable[str], delimiter: str, above: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The line and the fields of each record; columns may be aligned with runs of blanks."""
    if delimiter == r"\s+":
        runs, delimiter = re.compile(r'("(?:[^"]|"")*")|[ \t]+'), "\t"
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


def fit(frame: pd.DataFrame) -> Any:
    """Fit the pipeline on the rows that have a target; `frame` has the CSV's own column names."""
    y = _target(frame)
    X = features(frame)[y.notna()]
    random.seed(SEED)
    np.random.seed(SEED)
    return build_pipeline().fit(X, y.dropna().to_numpy(np.int64 if CLASSES else np.float64))


def predict(model: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """Predict the target of each row, and for classes the probability of each of them if the model
    has probabilities.
    """
    X = features(frame)
    if not CLASSES:
        return pd.DataFrame({TARGET_NAME: model.predict(X)})
    result = {TARGET_NAME: [CLASSES[int(index)] for index in model.predict(X).ravel()]}
    if not hasattr(model, "predict_proba"):
        return pd.DataFrame(result)
    for index, share in zip(model.classes_, model.predict_proba(X).T, strict=True):
        result[f"probability {CLASSES[int(index)]}"] = share
    return pd.DataFrame(result)


def features(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that the pipeline expects, under their aliases: numbers as float, categories as
    text.
    """
    frame = frame.set_axis(_unique_names(frame.columns), axis=1).reset_index(drop=True)
    missing = [name for name, *_ in COLUMNS.values() if name not in frame.columns]
    if missing:
        raise ValueError(
            f"columns are missing: {', '.join(missing)} (found: {', '.join(frame.columns[:20])})"
        )
    return pd.DataFrame(
        {
            alias: _typed(pd.Series(frame[name]), alias, *how)
            for alias, (name, *how) in COLUMNS.items()
        }
    )


def _target(frame: pd.DataFrame) -> pd.Series:
    """Class index or value of each row, nan where there is none."""
    frame = frame.set_axis(_unique_names(frame.columns), axis=1).reset_index(drop=True)
    if TARGET_NAME not in frame.columns:
        raise ValueError(
            f"the column to learn is missing: {TARGET_NAME} (found: "
            f"{', '.join(frame.columns[:20])})"
        )
    values = _typed(pd.Series(frame[TARGET_NAME]), "", *TARGET_READING)
    if not CLASSES:
        return values
    names = values.map(_class_name, na_action="ignore")
    if MERGED_LABELS:  # they differ in case or white space only
        spelled = {_folded(name): name for name in CLASSES}
        names = names.map(lambda name: spelled.get(_folded(name), name), na_action="ignore")
    unknown = sorted(set(names.dropna()) - set(CLASSES))
    if unknown:
        raise ValueError(
            f"unknown classes in {TARGET_NAME}: {', '.join(unknown[:5])} (known: "
            f"{', '.join(CLASSES)})"
        )
    return names.map({name: float(index) for index, name in enumerate(CLASSES)}).astype(float)


def _folded(label: str) -> str:
    return " ".join(label.split()).casefold()


def _class_name(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value % 1 == 0 else str(value)


def _typed(column: pd.Series, alias: str, reading: str, *how: Any) -> pd.Series:
    """A column as the reading has it: float64, dates as days since 1970-01-01, or text; nan where
    it is missing, or nothing that the reading knows.
    """
    words = OWN_MISSING_WORDS.get(alias, MISSING_WORDS)
    if reading == "date" and pd.api.types.is_datetime64_any_dtype(column.dtype):
        return days_since_1970(column)
    if reading == "number" and pd.api.types.is_numeric_dtype(column.dtype):
        values = column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        values[~np.isfinite(values) | np.isin(values, numbers_of(sorted(words), "."))] = np.nan
        return pd.Series(values, index=column.index)
    codes, distinct = pd.factorize(_text(column, words).to_numpy(dtype=object))
    values = READINGS[reading](distinct.tolist(), *how)
    if reading in ("number", "quantity", "excel date"):
        since = EXCEL_EPOCH if reading == "excel date" else 0
        missing = numbers_of(sorted(words), ".") - since
        values[np.isin(values, missing)] = np.nan
    with_gap = np.append(values, np.array([np.nan], values.dtype))
    return pd.Series(with_gap[codes], column.index, dtype=values.dtype)


def _text(column: pd.Series, words: Iterable[str]) -> pd.Series:
    """Stripped text, nan where it is missing; whole numbers without the point."""
    cells = [
        str(int(x)) if isinstance(x, float) and x.is_integer() else str(x).strip()
        for x in column.astype(object)
    ]
    text = pd.Series(cells, index=column.index, dtype=object)
    return text.where(column.notna() & ~text.isin(list(words)), np.nan)


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


def _with_known_marks(frame: pd.DataFrame, delimiter: str, path: str) -> pd.DataFrame:
    """The same rows with points and commas exchanged in numbers if more of them can be read then;
    if as many, another delimiter tells: commas go with semicolons, points with commas.
    """
    columns = [name for name, *how in COLUMNS.values() if "." in how or "," in how]
    columns = [name for name in columns if name in frame]
    if not CLASSES and TARGET_NAME in frame:
        columns.append(TARGET_NAME)
    head = frame.head(1_000)
    other = _exchanged(head, columns)
    more = int(features(other).notna().sum().sum() - features(head).notna().sum().sum())
    commas = any(head[name].str.contains(",", regex=False).any() for name in columns)
    marks = {";": "," if commas else ".", ",": ".", DELIMITER: DECIMAL}
    if more < 0 or (more == 0 and marks.get(delimiter, DECIMAL) == DECIMAL):
        return frame
    if not head[columns].equals(other[columns]):
        mark = "a decimal point" if DECIMAL == "," else "a decimal comma"
        print(f"solution.py: the numbers of {path} are read with {mark}", file=sys.stderr)
    return _exchanged(frame, columns)


def _exchanged(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The same rows with points for commas and commas for points in these columns."""
    exchanged = frame.copy(deep=False)
    for name in columns:
        exchanged[name] = frame[name].str.translate(str.maketrans(".,", ",."))
    return exchanged


def _unique_names(header: Iterable[object]) -> list[str]:
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


def main(arguments: Sequence[str]) -> None:
    """Fit on the first CSV, predict the second, write the third."""
    if len(arguments) != 3:
        _give_up("name three files: python solution.py TRAIN.csv NEW.csv PREDICTIONS.csv")
    train, new, out = arguments
    if not Path(out).parent.is_dir():
        _give_up(f"{Path(out).parent} is no directory: make it, or name another for {out}")
    try:
        known, rows = read(train), read(new)
        predictions = predict(fit(known), rows)
        sep = DELIMITER if len(DELIMITER) == 1 else "\t"
        predictions.to_csv(out, sep=sep, decimal=DECIMAL, encoding=ENCODING, index=False)
    except OSError as error:
        _give_up(f"{error.filename}: {error.strerror}" if error.strerror else str(error))
    except (ValueError, csv.Error) as error:
        _give_up(str(error))


def _give_up(sentence: str) -> NoReturn:
    print("solution.py:", " ".join(sentence.split()), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
