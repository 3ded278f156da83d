"""What a task is made of: columns with their aliases, parts of rows, and a hash of it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from marl_llm.tasks.columns import ColumnKind, TypedColumn
from marl_llm.tasks.selection import Detection, Reader
from marl_llm.tasks.splits.division import Parts
from marl_llm.tasks.target import Target


@dataclass(frozen=True)
class Column:
    """A feature: its alias in frames and prompts (`x3`; `t3` if it holds free text), its name in
    the CSV, its kind; and the column it is read from, if that is another one.
    """

    alias: str
    name: str
    kind: ColumnKind
    source: str | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a task.

    Attributes
    ----------
    X : DataFrame, shape (n, columns)
        Named by alias; float64 (NaN missing; dates are days since 1970-01-01) or object of str
        (np.nan missing). Index 0..n-1.
    y : ndarray, shape (n,)
        int64 class index or float64 value.
    """

    X: pd.DataFrame
    y: np.ndarray

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.y)


def columns_of(
    typed: Mapping[str, TypedColumn], detections: Sequence[Detection]
) -> tuple[Column, ...]:
    """The features with their aliases, in order."""
    sources = {found.name: found.source for found in detections}
    return tuple(
        Column(f"{'t' if column.kind == 'text' else 'x'}{i}", name, column.kind, sources.get(name))
        for i, (name, column) in enumerate(typed.items())
    )


def left_out_columns(
    frame: pd.DataFrame, rows: np.ndarray, detections: Sequence[Detection], reader: Reader
) -> pd.DataFrame:
    """Typed columns that are no features, at the given positions of the frame."""
    reader = replace(reader, kinds={})
    names = [found.name for found in detections if not found.kept]
    columns = {name: frame.loc[:, name].iloc[rows].reset_index(drop=True) for name in names}
    return pd.DataFrame(
        {name: reader.read(columns[name], name).values for name in names}, index=range(len(rows))
    )


def _fields(column: Column) -> list[str]:
    return [column.alias, column.name, column.kind]


def content_key(
    row_hashes: np.ndarray, answer: Target, parts: Parts, described: list[object]
) -> str:
    """Hash of data, split and what else is `described`, 16 hexadecimal digits."""
    digest = hashlib.sha256(
        json.dumps([described, answer.kind, answer.classes], default=_fields).encode()
    )
    digest.update(row_hashes.tobytes())
    digest.update(answer.y.tobytes())
    for part in parts.rows:
        digest.update(part.astype(np.int64).tobytes() + b"|")
    digest.update(parts.blocks.tobytes())
    return digest.hexdigest()[:16]
