"""The part of a delivered `solution.py` that is the same for every CSV: reading, fitting,
predicting, the command line; `standalone_csv` reads the cells.

`solution.py` is a header, the constants of its CSV, `build_pipeline()`, and then what `main` of
this module reaches, in `standalone_csv` and `marl_llm.tasks.columns` too; that uses the standard
library, pandas and numpy only. The constants and the pipeline below are an example that keeps this
file whole for checkers; `marl_llm.solve.solution` writes the real ones.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.proposals import baseline, compile
from marl_llm.solve.standalone_csv import (
    COLUMNS,
    DELIMITER,
    ENCODING,
    TARGET_NAME,
    text_table,
    unique_names,
)
from marl_llm.tasks.columns import MISSING_WORDS
from marl_llm.tasks.columns.cells import numbers_of
from marl_llm.tasks.columns.dates import days_since_1970
from marl_llm.tasks.columns.readings import EXCEL_EPOCH, READINGS

DECIMAL = ","
TARGET_READING = ("text",)
CLASSES: tuple[str, ...] = ("no", "yes")
OWN_MISSING_WORDS: dict[str, list[str]] = {}
SEED = 0
MERGED_LABELS = False


def build_pipeline() -> Any:
    """Stands for the delivered pipeline."""
    return compile(baseline(Kind.binary))


def read(path: str) -> pd.DataFrame:
    """Read a CSV as text: stripped cells under the columns' own names, numbers with the decimal
    mark that the CSV had which this was made for.
    """
    frame, delimiter = text_table(path)
    try:
        return _with_known_marks(frame, delimiter, path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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
    frame = frame.set_axis(unique_names(frame.columns), axis=1).reset_index(drop=True)
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
    frame = frame.set_axis(unique_names(frame.columns), axis=1).reset_index(drop=True)
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
