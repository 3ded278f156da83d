"""A task: a table with a target, weighted metrics, and three disjoint parts of rows.

In: a CSV file or a DataFrame. Out: a frozen `Task` whose frames carry the aliases `x0`, `x1`, ... .
*Development* may be analysed and cross-validated, labels of *hold-out* decide rewards and are shown
to nobody, *test* is read once for reports. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import check_metrics, default_metrics
from marl_llm.tasks.columns.marks import Marks
from marl_llm.tasks.csv.dialect import Dialect, Overrides
from marl_llm.tasks.csv.reading import read_csv, unique_names
from marl_llm.tasks.labels import one_spelling
from marl_llm.tasks.parts import Column, Part, columns_of, content_key, left_out_columns
from marl_llm.tasks.screening import OF_ALL_TARGETS, Table, Trap, sampled, screen
from marl_llm.tasks.selection import (
    IGNORE,
    Detection,
    Reader,
    chosen_features,
    feature_notes,
    known_column,
    known_kinds,
    read_target_column,
    target_notes,
    typed_features,
    with_note,
)
from marl_llm.tasks.splits import division
from marl_llm.tasks.splits.copies import copies_notes, find_copies
from marl_llm.tasks.splits.division import SplitKind
from marl_llm.tasks.target import kind_of_metrics, read_target

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
    positive: str | None
    missing: Sequence[str]
    kinds: Mapping[str, str] | None
    group: str | None
    time: str | None
    labels: str | None = None


@dataclass(frozen=True)
class _Origin:
    """Where a table came from."""

    source: str | None
    notes: tuple[str, ...]
    dialect: Dialect | None
    named_decimal: bool = False

    def marks(self, frame: pd.DataFrame) -> Marks:
        """What the file says of its decimal marks."""
        if self.dialect is None:
            return Marks()
        return Marks.of(frame, self.dialect.decimal, self.named_decimal)


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
        Content hash of data, split and metrics, 16 hexadecimal digits; independent of name and
        path.
    dialect : Dialect or None
        How the CSV is written; None for a task made from a frame.
    detections : tuple of Detection
        What was found in the target and in every column that was considered.
    traps : tuple of Trap
        What the screening found.
    split : {"random", "group", "time"}
        How rows were divided. At random, rows with identical features stay together.
    blocks : ndarray, shape (development rows,), or None
        What `cv_folds` keeps together (int64), or in order (float64 times); None if each row stands
        alone.
    split_column : str or None
        Name of the group or time column; None for a random split.
    merged_labels : bool
        Whether labels of the target that differ in case or white space only are one class.
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
    detections: tuple[Detection, ...] = ()
    traps: tuple[Trap, ...] = ()
    split: SplitKind = "random"
    blocks: np.ndarray | None = None
    split_column: str | None = None
    merged_labels: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences of the traps, for the user."""
        return tuple(trap.message for trap in self.traps)

    @property
    def warnings_for_agents(self) -> tuple[str, ...]:
        """The sentences that say nothing of the targets of hold-out and test rows."""
        return tuple(trap.message for trap in self.traps if trap.kind not in OF_ALL_TARGETS)

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
        positive: str | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        decimal: str | None = None,
        missing: Sequence[str] = (),
        skip: int | Sequence[int] | None = None,
        header: bool | Sequence[str] | None = None,
        kinds: Mapping[str, str] | None = None,
        group: str | None = None,
        time: str | None = None,
        labels: str | None = None,
    ) -> Task:
        """Make a task of a CSV file.

        Encoding, delimiter, decimal mark, rows that are no data, missing values and the kind of
        each column are detected; `marl_llm.tasks.detected` shows them.

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
        positive : str, optional
            The class of a binary target that gets index 1. Default: the later one by name or value.
        encoding, delimiter, decimal : str, optional
            Override the detection.
        missing : sequence of str
            Words that mean missing, besides the usual ones.
        skip : int or sequence of int, optional
            How many lines stand above the header; or the numbers of all lines that are no part of
            the table, `()` if there is none.
        header : bool or sequence of str, optional
            Whether the first line that is left names the columns; or their names, where none does.
        kinds : mapping of column name to the line that says how it is read, optional
            As in a task file (see `marl_llm.tasks.suite`): a kind, or "ignore", and its options.
            Overrides the detection; values that do not fit are missing.
        group : str, optional
            Column whose equal values stay in one part and one fold; a row without a value is a
            group of its own. It is no feature.
        time : str, optional
            Column of dates or numbers: development has the earliest rows, test the latest, and
            folds are validated on later rows than they are fitted on. It is no feature unless
            `features` names it. Rows without a value are left out.
        labels : {"merged", "exact"}, optional
            Whether labels that differ in case or white space only are one class. Default: if they
            have three characters or more.

        Raises
        ------
        UserError
            For a file that can't be read as a table, an unknown column (the nearest name is
            suggested), a target that can't be learned, an override that does not fit, unfitting
            metrics, or too few groups or times.
        """
        says = Overrides(encoding, delimiter, decimal, missing, skip, header)
        table = read_csv(path, says, target)
        request = _Request(
            target,
            features,
            metrics,
            kind,
            ignore,
            seed,
            fractions,
            name or Path(path).stem,
            positive,
            says.missing,
            kinds,
            group,
            time,
            labels,
        )
        origin = _Origin(str(path), table.notes, table.dialect, decimal is not None)
        return _build(table.frame, request, origin)

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
        positive: str | None = None,
        missing: Sequence[str] = (),
        kinds: Mapping[str, str] | None = None,
        group: str | None = None,
        time: str | None = None,
    ) -> Task:
        """Make a task of a DataFrame of any dtypes; see `from_csv` for the parameters and
        errors.
        """
        names, notes = unique_names(frame.columns)
        words = Overrides(missing=missing).missing
        request = _Request(
            target,
            features,
            metrics,
            kind,
            ignore,
            seed,
            fractions,
            name or "frame",
            positive,
            words,
            kinds,
            group,
            time,
        )
        return _build(
            frame.set_axis(names, axis=1).reset_index(drop=True),
            request,
            _Origin(None, tuple(notes), None),
        )

    def cv_folds(self, k: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """k folds of the development rows: (train positions, validation positions), int64, sorted.

        Stratified; blocks of rows stay together. At random, a class too small to be learned from a
        part of its rows is fitted on and not validated (`splits/learnable.py`). After a time split
        each fold is validated on later rows than it is fitted on, and the earliest rows are never
        validated.

        Raises
        ------
        UserError
            If k is below 2, or there are fewer blocks.
        """
        y = self.development.y
        blocks = np.arange(len(y)) if self.blocks is None else self.blocks
        return division.cv_folds(self.split, y, self.kind.is_classification, blocks, k, seed)


def _build(frame: pd.DataFrame, request: _Request, origin: _Origin) -> Task:
    names = list(frame.columns)
    target = known_column(request.target, names, "target")
    kinds = known_kinds(request.kinds, target, names)
    reader = Reader(origin.marks(frame), request.missing, kinds)
    ignored = [*request.ignore, *(name for name, kind in kinds.items() if kind == IGNORE)]
    divided_by = division.read_division(
        frame, request.group, request.time, request.features, target, reader
    )
    chosen = chosen_features(request.features, [*ignored, *divided_by.no_features], target, names)
    answers = read_target_column(frame.loc[:, target], target, reader)
    usable = answers.values.notna().to_numpy() & divided_by.usable(len(frame))
    labels = one_spelling(answers.values.loc[usable], request.labels)
    answers = with_note(answers, labels.note)
    fitting = kind_of_metrics(labels.values, request.metrics or {})
    answer = read_target(labels.values, target, request.kind or fitting, request.positive)
    metrics = default_metrics(answer.kind) if request.metrics is None else request.metrics
    weights = check_metrics(metrics, answer.kind, answer.classes or None, answer.y)
    raw = ((name, frame.loc[:, name].loc[usable]) for name in chosen)
    typed, detections = typed_features(raw, reader, request.features is not None, names)
    columns = columns_of(typed, detections)
    X = pd.DataFrame({column.alias: typed[column.name].values for column in columns})
    row_hashes = np.asarray(hash_pandas_object(X, index=False))  # pyright: ignore[reportCallIssue]
    copies = find_copies(X, row_hashes)
    repeats = copies_notes(copies) if divided_by.kind == "random" else []
    parts = division.divide(
        divided_by.at(usable), answer, target, copies, request.fractions, request.seed
    )
    development, holdout, test = (
        Part(X.iloc[part].reset_index(drop=True), answer.y[part]) for part in parts.rows
    )
    named = X.set_axis([column.name for column in columns], axis=1)
    left_out = left_out_columns(
        frame, np.flatnonzero(usable)[sampled(parts.rows[0])], detections, reader
    )
    dates = tuple(column.name for column in columns if column.kind == "date")
    missing = int(answers.values.isna().sum())
    traps = screen(
        Table(
            named,
            left_out,
            dates,
            answer.y,
            answer.classes,
            target,
            parts.rows,
            copies,
            missing,
            divided_by.kind,
        )
    )
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
        notes=(
            *origin.notes,
            *divided_by.notes,
            *target_notes(answers, target),
            *feature_notes(detections),
            *repeats,
            *parts.notes,
        ),
        key=content_key(row_hashes, answer, parts, [columns, target, weights, divided_by.kind]),
        dialect=origin.dialect,
        detections=(Detection.of(target, answers), *detections),
        traps=traps,
        split=divided_by.kind,
        split_column=divided_by.column or None,
        blocks=parts.blocks,
        merged_labels=labels.merged,
    )
