"""The part of a delivered `solution.py` that is the same for every CSV: reading, fitting,
predicting, the command line.

`solution.py` is a header, the prelude, the constants of its CSV, `build_pipeline()`, and then the
text below the mark of the readings in `marl_llm.tasks.columns` and of this
module, so what stands there uses scikit-learn, pandas and numpy only. The constants above the mark
are an example that keeps this file whole for checkers; `marl_llm.solve.solution` writes the real
ones.
"""

from __future__ import annotations

import csv
import random
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

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


# ---- solution.py goes on from here ----


def read(path: str) -> pd.DataFrame:
    """Read a CSV as text: stripped cells under the columns' own names."""
    options = {
        "sep": DELIMITER,
        "header": None,
        "dtype": str,
        "keep_default_na": False,
        "skipinitialspace": True,
    }
    with Path(path).open(encoding=_encoding(path), newline="") as file:
        start = file.readline(20)
        file.seek(0)
        if start.strip().strip('"').lower().startswith("sep="):
            file.readline()
        if not REGULAR:
            return _rows_of_data(file, path)
        table = pd.read_csv(file, **options).apply(lambda column: column.str.strip())
    table = table[(table != "").any(axis=1)]
    if len(table) < 2:
        raise ValueError(f"{path} has no rows of data")
    return table.iloc[1:].set_axis(_unique_names(table.iloc[0]), axis=1).reset_index(drop=True)


def _rows_of_data(file: TextIO, path: str) -> pd.DataFrame:
    """The same of a file with lines above the header, or rows that are no data: units, totals,
    notes.
    """
    names = list(HEADER) or _unique_names(_header(file))
    rows: list[list[str]] = []
    for record in _records(file):
        cells = [cell.strip() for cell in record]
        if any(cells) and not _is_no_data(cells) and _unique_names(cells) != names:
            if any(cells[len(names) :]):
                raise ValueError(f"{path} has a row with more than {len(names)} fields: {cells}")
            rows.append(cells[: len(names)] + [""] * (len(names) - len(cells)))
    if not rows:
        raise ValueError(f"{path} has no rows of data")
    return pd.DataFrame(rows, columns=names, dtype=str)


def _header(file: TextIO) -> list[str]:
    """Read up to the line that names the columns, or as many lines as stood above it in the CSV
    that this was made for; return the names.
    """
    wanted = {name for name, *_ in COLUMNS.values()}
    start = file.tell()
    while line := file.readline():
        names = [""] * ROW_NAMES + next(_records([line]), [])
        if wanted <= set(_unique_names(names)):
            return names
    file.seek(start)
    for _ in range(SKIP):
        file.readline()
    return [""] * ROW_NAMES + next((names for names in _records(file) if any(names)), [])


def _records(lines: Iterable[str]) -> Iterator[list[str]]:
    """The fields of each record; columns may be aligned with runs of blanks."""
    if DELIMITER != r"\s+":
        return csv.reader(lines, delimiter=DELIMITER, skipinitialspace=True)
    runs = re.compile(r'("(?:[^"]|"")*")|[ \t]+')
    tabbed = (runs.sub(lambda found: found[1] or "\t", line.strip()) for line in lines)
    return csv.reader(tabbed, delimiter="\t", skipinitialspace=True)


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
    """Predict the target of each row, and for classes the probability of each of them."""
    X = features(frame)
    if not CLASSES:
        return pd.DataFrame({TARGET_NAME: model.predict(X)})
    result = {TARGET_NAME: [CLASSES[int(index)] for index in model.predict(X)]}
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
    if reading in ("number", "excel date"):
        missing = numbers_of(sorted(words), ".") - (0 if reading == "number" else EXCEL_EPOCH)
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


def _encoding(path: str) -> str:
    """UTF-8 where the file is in it, else the encoding of the file that this was made for."""
    wide = ENCODING.startswith(("utf-16", "utf-32"))  # plain letters in them are valid UTF-8 too
    for encoding in (ENCODING, "utf-8-sig") if wide else ("utf-8-sig", ENCODING):
        try:
            with Path(path).open(encoding=encoding, newline="") as file:
                while file.read(1_000_000):
                    pass
            return encoding
        except UnicodeError:
            continue
    raise ValueError(f"the file is neither UTF-8 nor {ENCODING} text")


def _unique_names(header: Iterable[object]) -> list[str]:
    """Column names, stripped; nameless ones by their position, repeated ones numbered."""
    names: list[str] = []
    for position, cell in enumerate(header, start=1):
        cleaned = (
            "" if cell is np.nan else " ".join(unicodedata.normalize("NFC", str(cell)).split())
        )
        name = unique = cleaned or f"column_{position}"
        count = 1
        while unique in names:
            count += 1
            unique = f"{name}_{count}"
        names.append(unique)
    return names


def main(arguments: Sequence[str]) -> None:
    """Fit on the first CSV, predict the second, write the third."""
    if len(arguments) != 3:
        sys.exit("usage: python solution.py TRAIN.csv NEW.csv PREDICTIONS.csv")
    train, new, out = arguments
    try:
        predictions = predict(fit(read(train)), read(new))
        sep = DELIMITER if len(DELIMITER) == 1 else "\t"
        predictions.to_csv(out, sep=sep, decimal=DECIMAL, encoding=ENCODING, index=False)
    except (OSError, ValueError) as error:
        sys.exit(f"solution.py: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main(sys.argv[1:])
