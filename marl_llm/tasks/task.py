"""A task: a table with a target, weighted metrics, and three disjoint parts of rows.

In: a CSV file or a DataFrame. Out: a frozen `Task` whose frames carry the aliases `x0`, `x1`, ... . *Development* may
be analysed and cross-validated, labels of *hold-out* decide rewards and are shown to nobody, *test* is read once for
reports. Nothing is fitted here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from marl_llm.errors import UserError
from marl_llm.kind import Kind
from marl_llm.metrics import check_metrics, default_metrics
from marl_llm.tasks import splitting
from marl_llm.tasks.columns import empty_or_constant, typed_column, unfit_as_feature
from marl_llm.tasks.reading import Dialect, clean_name, read_csv, unique_names
from marl_llm.tasks.target import Target, read_target

DEFAULT_FRACTIONS = (0.5, 0.25, 0.25)


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
        """Make a task of a CSV file. Encoding, delimiter, decimal mark, missing values and the kind of each column are detected.

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
        return _build(
            table.frame,
            target=target,
            features=features,
            metrics=metrics,
            kind=kind,
            ignore=ignore,
            seed=seed,
            fractions=fractions,
            name=name or Path(path).stem,
            source=str(path),
            notes=table.notes,
            dialect=table.dialect,
        )

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
        return _build(
            frame.set_axis(names, axis=1).reset_index(drop=True),
            target=target,
            features=features,
            metrics=metrics,
            kind=kind,
            ignore=ignore,
            seed=seed,
            fractions=fractions,
            name=name or "frame",
            source=None,
            notes=tuple(notes),
            dialect=None,
        )

    def cv_folds(self, k: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """k stratified folds of the development rows: (train positions, validation positions), int64, sorted."""
        return splitting.cv_folds(splitting.strata(self.development.y, self.kind.is_classification), k, seed)


def _build(
    frame: pd.DataFrame,
    *,
    target: str,
    features: Sequence[str] | None,
    metrics: Mapping[str, float] | None,
    kind: Kind | str | None,
    ignore: Iterable[str],
    seed: int,
    fractions: Sequence[float],
    name: str,
    source: str | None,
    notes: tuple[str, ...],
    dialect: Dialect | None,
) -> Task:
    decimal = dialect.decimal if dialect else "."
    names = list(frame.columns)
    target = _known(target, names, "target")
    chosen = _chosen_features(features, ignore, target, names)
    y_column, has_target, target_notes = _target_column(frame[target], decimal)
    answer = read_target(y_column, target, kind)
    X, feature_notes = _features(frame.loc[has_target, chosen], decimal, explicit=features is not None)
    weights = check_metrics(
        metrics if metrics is not None else default_metrics(answer.kind), answer.kind, answer.classes or None
    )
    if len(fractions) != 3:
        raise UserError(f"{len(fractions)} fractions are given: three are needed, for development, hold-out and test.")
    stratum = splitting.strata(answer.y, answer.kind.is_classification)
    parts = splitting.split_rows(stratum, fractions, seed)
    columns = tuple(
        Column(f"x{i}", str(column), "categorical" if X[column].dtype == object else "numeric")
        for i, column in enumerate(X)
    )
    X = X.set_axis([column.alias for column in columns], axis=1)
    return Task(
        name=name,
        kind=answer.kind,
        columns=columns,
        target=target,
        classes=answer.classes,
        metrics=weights,
        development=_part(X, answer.y, parts[0]),
        holdout=_part(X, answer.y, parts[1]),
        test=_part(X, answer.y, parts[2]),
        seed=seed,
        source=source,
        notes=(*notes, *target_notes, *feature_notes),
        key=_content_key(X, answer, parts, columns, target, weights),
        dialect=dialect,
    )


def _known(name: str, names: Sequence[str], role: str) -> str:
    wanted = clean_name(name)
    if wanted in names:
        return wanted
    by_lower_case = {other.lower(): other for other in names}
    nearest = difflib.get_close_matches(wanted.lower(), list(by_lower_case), n=1, cutoff=0.5)
    advice = f"did you mean '{by_lower_case[nearest[0]]}'?" if nearest else f"the columns are {_some(names)}."
    raise UserError(f"The {role} '{name}' is not a column: {advice}")


def _some(names: Sequence[str], limit: int = 12) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _chosen_features(features: Sequence[str] | None, ignore: Iterable[str], target: str, names: list[str]) -> list[str]:
    ignored = {_known(name, names, "ignored column") for name in ignore}
    wanted = names if features is None else [_known(name, names, "feature") for name in features]
    if features is not None and target in wanted:
        raise UserError(f"'{target}' is the target and can't be a feature as well: remove it from the features.")
    chosen = [name for name in dict.fromkeys(wanted) if name != target and name not in ignored]
    if not chosen:
        raise UserError(f"No feature is left beside the target '{target}': name at least one other column.")
    return chosen


def _target_column(raw: pd.Series, decimal: str) -> tuple[pd.Series, pd.Series, list[str]]:
    """The typed target of the rows that have one, the mask of those rows, and notes."""
    column, note = typed_column(raw, decimal)
    has_target = column.notna()
    notes = [f"target '{raw.name}': {note}"] if note else []
    if missing := int((~has_target).sum()):
        notes.append(f"{missing} rows without a value of the target '{raw.name}' left out")
    return column[has_target], has_target, notes


def _features(frame: pd.DataFrame, decimal: str, explicit: bool) -> tuple[pd.DataFrame, list[str]]:
    """Typed feature columns with index 0..n-1; columns that carry nothing are left out, ids too unless the user named the features."""
    kept: dict[str, pd.Series] = {}
    notes: list[str] = []
    for name in frame.columns:
        column, note = typed_column(frame[name].reset_index(drop=True), decimal)
        reason = empty_or_constant(column) or (None if explicit else unfit_as_feature(name, column))
        if reason:
            notes.append(f"column '{name}' left out: {reason}")
            continue
        if note:
            notes.append(f"column '{name}': {note}")
        kept[name] = column
    if not kept:
        raise UserError(f"No usable feature is left ({'; '.join(notes)}): name the features to use.")
    return pd.DataFrame(kept), notes


def _part(X: pd.DataFrame, y: np.ndarray, rows: np.ndarray) -> Part:
    return Part(X.iloc[rows].reset_index(drop=True), y[rows])


def _content_key(
    X: pd.DataFrame,
    answer: Target,
    parts: list[np.ndarray],
    columns: tuple[Column, ...],
    target: str,
    metrics: dict[str, float],
) -> str:
    names = [(column.alias, column.name, column.kind) for column in columns]
    digest = hashlib.sha256(json.dumps([names, target, answer.kind, answer.classes, metrics]).encode())
    digest.update(pd.util.hash_pandas_object(X, index=False).to_numpy().tobytes())
    digest.update(answer.y.tobytes())
    for rows in parts:
        digest.update(rows.astype(np.int64).tobytes() + b"|")
    return digest.hexdigest()[:16]
