"""Typed access to data frames, the seam to pandas: frames and names of columns go in, arrays,
lists and frames come out.

pandas' own annotations leave open what a column of a frame holds. The strictly checked rooms read
and make columns by these functions, so that what is not known ends here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""Which rows of a frame are meant: bool, shape (n,)."""

drop_columns: Callable[..., object] = pd.DataFrame.drop
"""pandas' own method as a function, for transformers: generated code names it too."""


def names(rows: pd.DataFrame) -> list[str]:
    """The names of the columns."""
    return [str(name) for name in rows]


def floats(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """The numbers of a column, shape (n,); missing ones are NaN."""
    return rows[column].to_numpy(np.float64)


def integers(rows: pd.DataFrame, column: str) -> NDArray[np.int64]:
    """The integers of a column, shape (n,); none may be missing."""
    return rows[column].to_numpy(np.int64)


def bools(rows: pd.DataFrame, column: str) -> NDArray[np.bool_]:
    """The truth values of a column, shape (n,)."""
    return rows[column].to_numpy(bool)


def cells(rows: pd.DataFrame, column: str) -> list[object]:
    """The cells of a column, as Python's own objects where there are such."""
    return rows[column].tolist()


def optional_floats(rows: pd.DataFrame, column: str) -> list[float | None]:
    """The numbers of a column, None where one is missing."""
    return [
        None if value is None or math.isnan(value) else value for value in rows[column].tolist()
    ]


def texts(rows: pd.DataFrame, column: str) -> list[str]:
    """The strings of a column that has nothing else."""
    return rows[column].tolist()


def equal(rows: pd.DataFrame, column: str, value: object) -> NDArray[np.bool_]:
    """Which rows have this value in the column, shape (n,)."""
    return (rows[column] == value).to_numpy()


def chosen(rows: pd.DataFrame, mask: Mask) -> pd.DataFrame:
    """The rows that are meant, with their index labels."""
    return rows.loc[mask]


def lengths(rows: pd.DataFrame, column: str) -> NDArray[np.int64]:
    """How many items each list of a column has, shape (n,); 0 where there is no list."""
    lists = rows[column].tolist()
    found = [len(one) if isinstance(one, list | np.ndarray) else 0 for one in lists]
    return np.array(found, np.int64)


def labels(rows: pd.DataFrame) -> list[int]:
    """The labels of the rows, where they are whole numbers."""
    return rows.index.tolist()


def at(rows: pd.DataFrame, positions: Sequence[int]) -> pd.DataFrame:
    """The rows at these positions, counted from 0."""
    return rows.iloc[list(positions)]


def repeated(rows: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows have the values of an earlier row in all of `columns`, shape (n,)."""
    return rows.duplicated(subset=list(columns)).to_numpy()


def of_columns(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns alone, in this order.

    Raises
    ------
    KeyError
        The frame lacks one of them.
    """
    return rows.loc[:, list(columns)]


def with_columns(rows: pd.DataFrame, /, **columns: object) -> pd.DataFrame:
    """A copy with further columns: a value for all rows, or one value per row."""
    return rows.assign(**columns)


def group_numbers(rows: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.int64]:
    """The number of each row's group of equal values in `columns`, from 0 in order of appearance,
    shape (n,); a missing value equals another.
    """
    return rows.groupby(list(columns), sort=False, dropna=False).ngroup().to_numpy()


def groups(rows: pd.DataFrame, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The groups of equal values in `columns`, in order of appearance."""
    for _, part in rows.groupby(list(columns), sort=False):
        yield part


def read_frame(path: Path) -> pd.DataFrame:
    """The frame of a parquet file."""
    return pd.read_parquet(path)


def write_frame(rows: pd.DataFrame, file: IO[bytes]) -> None:
    """Write a parquet file, without the index."""
    rows.to_parquet(file, index=False)
