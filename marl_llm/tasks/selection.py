"""Which columns a task uses: names as people type them, the target, the features worth having,
kinds people named.

In: a frame with unique column names and what the user asked for. Out: typed columns, what was
detected in each, and notes on what was left out and why. Cells are read by `columns.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns import Decision, TypedColumn, read_column
from marl_llm.tasks.columns.marks import Marks
from marl_llm.tasks.columns.override import parse_override
from marl_llm.tasks.columns.usefulness import (
    empty_or_constant,
    may_number_rows,
    unfit_as_feature,
)
from marl_llm.tasks.csv.lines import clean_name
from marl_llm.tasks.target import MAX_CLASSES

IGNORE = "ignore"
_LISTED, _NAME = 12, 40  # names in an error, and characters of each
_EXAMPLE = 24
_USUAL_MARKS = Marks()


@dataclass(frozen=True)
class Detection:
    """What was found in one column of the CSV.

    Attributes
    ----------
    name : str
    decision : Decision
        How it is read, and why.
    missing : float
        Share of the rows.
    example : str
        The first value as it stands in the file, shortened.
    remark : str
        What was decided; "" if nothing.
    kept : bool
        False for a column that was left out of the features.
    source : str or None
        For what stands beside the numbers of a column: that column.
    """

    name: str
    decision: Decision
    missing: float
    example: str
    remark: str = ""
    kept: bool = True
    source: str | None = None

    @property
    def kind(self) -> str:
        """The kind, as "numeric", "categorical", "date" or "text"."""
        return self.decision.kind

    @property
    def override(self) -> str:
        """The line that, named by people, reads the column as it was read."""
        return self.decision.line

    @classmethod
    def of(cls, name: str, column: TypedColumn, reason: str | None = None) -> Detection:
        """Of a typed column; with the reason if it was left out."""
        example = (
            column.example if len(column.example) <= _EXAMPLE else f"{column.example[:_EXAMPLE]}..."
        )
        remark = f"left out: {reason}" if reason else column.note or ""
        missing = float(column.values.isna().mean())
        return cls(name, column.decision, missing, example, remark, reason is None)


@dataclass(frozen=True)
class Reader:
    """How cells become values: the file's decimal marks, further words that mean missing, what
    people said of columns.
    """

    marks: Marks = _USUAL_MARKS
    missing: Sequence[str] = ()
    kinds: Mapping[str, str] | None = None

    def read(self, column: pd.Series, name: str, kind: str | None = None) -> TypedColumn:
        """Type one column; the error of a kind that does not fit names the column."""
        kind = (self.kinds or {}).get(name, kind)
        try:
            return read_column(column.rename(name), self.marks, kind, self.missing)
        except UserError as error:
            raise UserError(f"Column '{name}' can't be {kind}: {error}") from None


def known_column(name: str, names: Sequence[str], role: str) -> str:
    """The column's name as it stands in the frame.

    Raises
    ------
    UserError
        If there is none; the nearest name is suggested.
    """
    wanted = clean_name(name)
    if wanted in names:
        return wanted
    by_lower_case = {other.lower(): other for other in names}
    nearest = difflib.get_close_matches(wanted.lower(), list(by_lower_case), n=1, cutoff=0.5)
    advice = (
        f"did you mean '{by_lower_case[nearest[0]]}'?"
        if nearest
        else f"the columns are {_some(names)}."
    )
    if len(names) == 1:
        advice = f"the only one is '{names[0][:_NAME]}', so name the 'delimiter' in a task file."
    raise UserError(f"The {role} '{name}' is not a column: {advice}")


def known_kinds(
    kinds: Mapping[str, str] | None, target: str, names: Sequence[str]
) -> dict[str, str]:
    """The kinds that people named, under the columns' names as they stand in the frame.

    Raises
    ------
    UserError
        For an unknown column or kind, or a kind that a target can't have.
    """
    known: dict[str, str] = {}
    for name, kind in (kinds or {}).items():
        column = known_column(name, names, "column")
        try:
            named = parse_override(kind).kind
        except UserError as error:
            raise UserError(f"Column '{column}' can't be '{kind}': {error}") from None
        if column == target and named in ("text", IGNORE):
            raise UserError(
                f"The target '{column}' can't be '{kind}': choose numeric, categorical or date."
            )
        known[column] = kind
    return known


def chosen_features(
    features: Sequence[str] | None, ignore: Iterable[str], target: str, names: list[str]
) -> list[str]:
    """Names of the wanted feature columns, in the order of `features` or else of the frame.

    Raises
    ------
    UserError
        For an unknown column, the target among the features, or when nothing is left.
    """
    ignored = {known_column(name, names, "ignored column") for name in ignore}
    wanted = (
        names if features is None else [known_column(name, names, "feature") for name in features]
    )
    if features is not None and target in wanted:
        raise UserError(
            f"'{target}' is the target and can't be a feature as well: remove it from the features."
        )
    chosen = [name for name in dict.fromkeys(wanted) if name != target and name not in ignored]
    if not chosen:
        raise UserError(
            f"No feature is left beside the target '{target}': name at least one other column."
        )
    return chosen


def read_target_column(column: pd.Series, target: str, reader: Reader) -> TypedColumn:
    """The typed target, missing where it is; free text is categories here, and digits that are
    names, but too many for classes, are numbers.
    """
    typed = reader.read(column, target)
    if typed.kind == "text":
        return reader.read(column, target, "categorical")
    if typed.kind != "categorical" or typed.values.nunique() <= MAX_CLASSES:
        return typed
    try:
        numbers = reader.read(column, target, "numeric")
    except UserError:
        return typed
    if numbers.kind != "numeric" or numbers.values.isna().sum() > typed.values.isna().sum():
        return typed
    return with_note(numbers, f"read as numbers, as there are more than {MAX_CLASSES} of them")


def with_note(column: TypedColumn, note: str | None) -> TypedColumn:
    """The same column with one more note."""
    return replace(column, note="; ".join(n for n in (column.note, note) if n) or None)


def target_notes(column: TypedColumn, target: str) -> list[str]:
    """What to say about a typed target."""
    notes = [f"target '{target}': {column.note}"] if column.note else []
    if column.kind == "date":
        notes.append(f"target '{target}' holds dates: predicted are days since 1970-01-01")
    if missing := int(column.values.isna().sum()):
        notes.append(f"{missing} rows without a value of the target '{target}' left out")
    return notes


def typed_features(
    columns: Iterable[tuple[str, pd.Series]], reader: Reader, explicit: bool, names: Sequence[str]
) -> tuple[dict[str, TypedColumn], list[Detection]]:
    """Typed feature columns by name, and what was detected in each column.

    Columns that carry nothing are left out; ids and nearly unique codes too, unless the user named
    the features (`explicit`) or the column's kind. What stands beside the numbers of a column and
    says something follows it under a name that is none of `names`, those of the table.

    Raises
    ------
    UserError
        If nothing is left, or a kind does not fit.
    """
    kept: dict[str, TypedColumn] = {}
    detections: list[Detection] = []
    taken = set(names)
    for name, values in columns:
        column = reader.read(values.reset_index(drop=True), name)
        named = explicit or name in (reader.kinds or {})
        reason = empty_or_constant(column.values) or (
            None if named else unfit_as_feature(name, column)
        )
        if not named and reason is None:
            column = with_note(column, may_number_rows(name, column))
        detections.append(Detection.of(name, column, reason))
        if reason:
            continue
        kept[name] = column
        if column.beside is not None and not empty_or_constant(column.beside.values):
            own = _own_name(name, column.beside, taken)
            kept[own] = column.beside
            detections.append(replace(Detection.of(own, column.beside), source=name))
    if not kept:
        raise UserError(
            f"No usable feature is left ({'; '.join(feature_notes(detections))}): name the "
            "features to use."
        )
    return kept, detections


def _own_name(name: str, beside: TypedColumn, taken: set[str]) -> str:
    """A name for what stands beside the numbers of a column."""
    own = f"{name} ({beside.values.name})"
    while own in taken:
        own += "'"
    taken.add(own)
    return own


def feature_notes(detections: Iterable[Detection]) -> list[str]:
    """One sentence for each column of which there is something to say."""
    return [
        f"column '{found.name}'{': ' if found.kept else ' '}{found.remark}"
        for found in detections
        if found.remark
    ]


def _some(names: Sequence[str]) -> str:
    shown = [name if len(name) <= _NAME else f"{name[:_NAME]}.." for name in names[:_LISTED]]
    return ", ".join(shown) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
