"""A task: a table with a target, weighted metrics, and three disjoint parts of rows.

In: a CSV file or a DataFrame. Out: a frozen `Task` whose frames carry the aliases `x0`, `x1`, ... . *Development* may
be analysed and cross-validated, labels of *hold-out* decide rewards and are shown to nobody, *test* is read once for
reports. Nothing is fitted here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from marl_llm.errors import UserError
from marl_llm.kind import Kind
from marl_llm.metrics import check_metrics, default_metrics
from marl_llm.tasks import splitting
from marl_llm.tasks.reading import Dialect, read_csv, unique_names
from marl_llm.tasks.selection import chosen_features, known_column, target_column, typed_features
from marl_llm.tasks.target import Target, read_target

DEFAULT_FRACTIONS = (0.5, 0.25, 0.25)


@dataclass(frozen=True, eq=False)
class _Request:
    """What the user asked for; the parameters of `Task.from_csv`."""

    target: str
    features: Sequence[str] | None
    metrics: Mapping[str, float] | None
    kind: Kind | str | None
    ignore: Iterable[str]
    seed: int
    fractions: Sequence[float]
    name: str


@dataclass(frozen=True)
class _Origin:
    """Where a table came from."""

    source: str | None
    notes: tuple[str, ...]
    dialect: Dialect | None


@dataclass(frozen=True)
class Column:
    """A feature: its alias in frames and prompts, its name in the CSV, and whether it holds numbers or categories."""

    alias: str
    name: str
    kind: Literal["numeric", "categorical"]


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a task.

    Attributes
    ----------
    X : DataFrame, shape (n, columns)
        Named by alias; float64 (NaN missing) or object of str (np.nan missing). Index 0..n-1.
    y : ndarray, shape (n,)
        int64 class index or float64 value.
    """

    X: pd.DataFrame
    y: np.ndarray

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Task:
    """What the two agents are to improve on.

    Attributes
    ----------
    name : str
    kind : Kind
    columns : tuple of Column
        In the order of the frames' columns.
    target : str
        Name of the target in the CSV.
    classes : tuple of str
        Class names by index; () for regression. The positive class of binary metrics is index 1.
    metrics : dict of scorer name to weight
    development, holdout, test : Part
    seed : int
        Of the split.
    source : str or None
        Path of the CSV as it was given.
    notes : tuple of str
        What was detected and decided: encoding, delimiter, dropped columns and rows.
    key : str
        Content hash of data, split and metrics, 16 hexadecimal digits; independent of name and path.
    dialect : Dialect or None
        How the CSV is written; None for a task made from a frame.
    """

    name: str
    kind: Kind
    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...]
    metrics: dict[str, float]
    development: Part
    holdout: Part
    test: Part
    seed: int
    source: str | None
    notes: tuple[str, ...]
    key: str
    dialect: Dialect | None = None

    @classmethod
    def from_csv(
        cls,
        path: Path | str,
        *,
        target: str,
        features: Sequence[str] | None = None,
        metrics: Mapping[str, float] | None = None,
        kind: Kind | str | None = None,
        ignore: Iterable[str] = (),
        seed: int = 0,
        fractions: Sequence[float] = DEFAULT_FRACTIONS,
        name: str | None = None,
    ) -> Task:
        """Make a task of a CSV file.

        Encoding, delimiter, decimal mark, missing values and the kind of each column are detected.

        Parameters
        ----------
        path : path of the CSV
        target : str
            Name of the column to predict. Rows without a value there are left out.
        features : sequence of str, optional
            Columns to use. Default: all but target, `ignore`, ids and nearly unique text.
        metrics : mapping of scorer name to weight, optional
            Default: `default_metrics(kind)`.
        kind : {"binary", "multiclass", "regression"}, optional
            Overrides the detection.
        ignore : iterable of str
            Columns that are no features.
        seed : int
            Of the split.
        fractions : three positive numbers that sum to 1
            Development, hold-out, test.
        name : str, optional
            Default: the file's name without its ending.

        Raises
        ------
        UserError
            For a file that can't be read as a table, an unknown column (the nearest name is suggested), a target that
            can't be learned, or unfitting metrics.
        """
        table = read_csv(path)
        request = _Request(target, features, metrics, kind, ignore, seed, fractions, name or Path(path).stem)
        return _build(table.frame, request, _Origin(str(path), table.notes, table.dialect))

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        target: str,
        features: Sequence[str] | None = None,
        metrics: Mapping[str, float] | None = None,
        kind: Kind | str | None = None,
        ignore: Iterable[str] = (),
        seed: int = 0,
        fractions: Sequence[float] = DEFAULT_FRACTIONS,
        name: str | None = None,
    ) -> Task:
        """Make a task of a DataFrame of any dtypes; see `from_csv` for the parameters and errors."""
        names, notes = unique_names(frame.columns)
        request = _Request(target, features, metrics, kind, ignore, seed, fractions, name or "frame")
        return _build(frame.set_axis(names, axis=1).reset_index(drop=True), request, _Origin(None, tuple(notes), None))

    def cv_folds(self, k: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """k stratified folds of the development rows: (train positions, validation positions), int64, sorted."""
        return splitting.cv_folds(splitting.strata(self.development.y, self.kind.is_classification), k, seed)


def _build(frame: pd.DataFrame, request: _Request, origin: _Origin) -> Task:
    names = list(frame.columns)
    decimal = origin.dialect.decimal if origin.dialect else "."
    target = known_column(request.target, names, "target")
    chosen = chosen_features(request.features, request.ignore, target, names)
    labels, has_target, target_notes = target_column(frame, target, decimal)
    answer = read_target(labels, target, request.kind)
    metrics = default_metrics(answer.kind) if request.metrics is None else request.metrics
    weights = check_metrics(metrics, answer.kind, answer.classes or None)
    explicit = request.features is not None
    X, feature_notes = typed_features(frame.loc[has_target, chosen], decimal, explicit=explicit)
    columns = _columns(X)
    X = X.set_axis([column.alias for column in columns], axis=1)
    rows = _split(answer, request)
    development, holdout, test = (Part(X.iloc[part].reset_index(drop=True), answer.y[part]) for part in rows)
    return Task(
        name=request.name,
        kind=answer.kind,
        columns=columns,
        target=target,
        classes=answer.classes,
        metrics=weights,
        development=development,
        holdout=holdout,
        test=test,
        seed=request.seed,
        source=origin.source,
        notes=(*origin.notes, *target_notes, *feature_notes),
        key=_content_key(X, answer, rows, [columns, target, weights]),
        dialect=origin.dialect,
    )


def _columns(X: pd.DataFrame) -> tuple[Column, ...]:
    return tuple(
        Column(f"x{i}", str(name), "numeric" if dtype == np.float64 else "categorical")
        for i, (name, dtype) in enumerate(X.dtypes.items())
    )


def _split(answer: Target, request: _Request) -> list[np.ndarray]:
    """Row positions of development, hold-out and test."""
    if len(request.fractions) != 3:
        raise UserError(
            f"{len(request.fractions)} fractions are given: three are needed, for development, hold-out and test."
        )
    stratum = splitting.strata(answer.y, answer.kind.is_classification)
    return splitting.split_rows(stratum, request.fractions, request.seed)


def _fields(column: Column) -> list[str]:
    return [column.alias, column.name, column.kind]


def _content_key(X: pd.DataFrame, answer: Target, rows: list[np.ndarray], described: list[object]) -> str:
    digest = hashlib.sha256(json.dumps([described, answer.kind, answer.classes], default=_fields).encode())
    row_hashes = hash_pandas_object(X, index=False)  # pyright: ignore[reportCallIssue]
    digest.update(np.asarray(row_hashes).tobytes())
    digest.update(answer.y.tobytes())
    for part in rows:
        digest.update(part.astype(np.int64).tobytes() + b"|")
    return digest.hexdigest()[:16]
