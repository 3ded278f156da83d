"""How the rows of a task are divided: at random, by group, or by time.

In: a typed group or time column, if any; later the target and the identical rows. Out: row
positions of development, hold-out and test, and what keeps rows together, or in order, in
cross-validation. How rows are dealt out is in `splitting.py`.

A group column is no feature: its values are new in hold-out. A time column is one only if it is
named among the features: what a model learns of the dates it has seen says little of later ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.tasks.selection import IGNORE, Reader, known_column
from marl_llm.tasks.splits import splitting
from marl_llm.tasks.splits.copies import Copies
from marl_llm.tasks.splits.learnable import known_folds, learnable_folds
from marl_llm.tasks.target import Target, named_sizes, rows_to_divide

SplitKind = Literal["random", "group", "time"]
PARTS = ("development", "hold-out", "test")
_MIN_GROUPS = 6
_MIN_GROUPS_IN_DEVELOPMENT = 2
_SMALL_SHARE = 0.05  # a class with a larger share of the rows must be in development


@dataclass(frozen=True, eq=False)
class Division:
    """What rows are divided by.

    Attributes
    ----------
    kind : {"random", "group", "time"}
    column : str
        Name of the group or time column, "" for a random split.
    values : ndarray, shape (n,)
        One for each row: int64 group, a missing one being a group of its own, or float64 time, NaN
        where missing. None for a random split.
    no_features : tuple of str
        The column, where it may not be a feature.
    notes : tuple of str
    """

    kind: SplitKind = "random"
    column: str = ""
    values: np.ndarray | None = None
    no_features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def usable(self, rows: int) -> np.ndarray:
        """Mask of the rows that can be divided: those with a time."""
        return (
            np.ones(rows, dtype=bool)
            if self.values is None
            else ~np.isnan(self.values.astype(np.float64))
        )

    def at(self, rows: np.ndarray) -> Division:
        """The same for the rows of a mask only."""
        return self if self.values is None else replace(self, values=self.values[rows])


def read_division(
    frame: pd.DataFrame,
    group: str | None,
    time: str | None,
    features: Sequence[str] | None,
    target: str,
    reader: Reader,
) -> Division:
    """Read the group or time column of a table, if one is named.

    Raises
    ------
    UserError
        If both are named, the column is unknown or the target, a group is a feature, or a time is
        neither date nor number.
    """
    if group is None and time is None:
        return Division()
    if group is not None and time is not None:
        raise UserError(
            f"Rows can't be split by group '{group}' and by time '{time}' at once: choose "
            "one of them."
        )
    names = [str(name) for name in frame.columns]
    role = "time" if group is None else "group"
    column = known_column(group or time or "", names, f"{role} column")
    if column == target:
        raise UserError(
            f"'{column}' is the target, so rows can't be split by it: name another {role} column."
        )
    used = features is not None and column in [
        known_column(name, names, "feature") for name in features
    ]
    reader = replace(
        reader, kinds={name: kind for name, kind in (reader.kinds or {}).items() if kind != IGNORE}
    )
    if role == "time":
        return _by_time(reader.read(frame.loc[:, column], column).values, column, used)
    if used:
        raise UserError(
            f"'{column}' is the group and can't be a feature as well: remove it from the features."
        )
    return _by_group(reader.read(frame.loc[:, column], column, "categorical").values, column)


def _by_group(values: pd.Series, column: str) -> Division:
    codes = pd.factorize(values.to_numpy())[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    notes = [f"rows of one '{column}' stay together; it is no feature"]
    if alone.any():
        notes.append(
            f"{alone.sum()} rows without a value of the group column '{column}', each a "
            "group of its own"
        )
    return Division("group", column, codes, (column,), tuple(notes))


def _by_time(values: pd.Series, column: str, used: bool) -> Division:
    if values.dtype == object:
        example = next(iter(values.dropna()), "")
        raise UserError(
            f"The time column '{column}' holds neither dates nor numbers (for example "
            f"'{example}'): name another column, or the format of its dates."
        )
    notes = [f"split by time: development has the earliest '{column}', test the latest"]
    if not used:
        notes.append(
            f"column '{column}' is no feature, as later rows have later times, unless you "
            "name it as one"
        )
    if missing := int(values.isna().sum()):
        notes.append(f"{missing} rows without a value of the time column '{column}' left out")
    return Division(
        "time", column, values.to_numpy(dtype=np.float64), () if used else (column,), tuple(notes)
    )


@dataclass(frozen=True, eq=False)
class Parts:
    """A divided table.

    Attributes
    ----------
    rows : list of three ndarrays
        Ascending positions of development, hold-out and test.
    blocks : ndarray, shape (development rows,)
        For `cv_folds`: int64, equal for rows that stay together; for a time split float64 times.
    notes : tuple of str
        Which classes were not divided.
    """

    rows: list[np.ndarray]
    blocks: np.ndarray
    notes: tuple[str, ...] = ()


def divide(
    division: Division,
    answer: Target,
    target: str,
    copies: Copies,
    fractions: Sequence[float],
    seed: int,
) -> Parts:
    """Divide rows into development, hold-out and test.

    At random, a class too small for three parts (`rows_to_divide`) is in development whole: there
    it can be learned.

    Raises
    ------
    UserError
        For other than three positive fractions that sum to 1, too few groups or times, a part with
        one class only, or a development part without a class that is not small.
    """
    if len(fractions) != len(PARTS):
        raise UserError(
            f"{len(fractions)} fractions are given: three are needed, for development, "
            "hold-out and test."
        )
    stratum = splitting.strata(answer.y, answer.kind.is_classification)
    if division.values is None:
        blocks = copies.units if copies.together else np.arange(len(stratum))
        least = rows_to_divide(np.bincount(stratum)) if answer.classes else 0
        rows = splitting.unit_parts(stratum, blocks, fractions, seed, least)
    elif division.kind == "group":
        blocks = division.values
        rows = _group_rows(division, stratum, fractions, seed)
    else:
        blocks = division.values
        rows = splitting.time_parts(blocks, fractions)
    if answer.classes:
        _check_classes(rows, answer, target, division)
    return Parts(rows, blocks[rows[0]], tuple(_undivided_note(rows, answer, target)))


def cv_folds(
    kind: SplitKind, y: np.ndarray, is_classification: bool, blocks: np.ndarray, k: int, seed: int
) -> splitting.Folds:
    """k folds of development rows as their split demands, small classes kept out of those that
    cannot hold them; errors of `splitting`.
    """
    stratum = splitting.strata(y, is_classification)
    if kind == "random":
        folds = splitting.unit_folds(stratum, blocks, k, seed)
        return learnable_folds(folds, stratum, blocks) if is_classification else folds
    if kind == "time":
        folds = splitting.time_folds(
            stratum if is_classification else np.zeros_like(stratum), blocks, k
        )
    else:
        folds = splitting.group_folds(stratum, blocks, k, seed)
    return known_folds(folds, stratum) if is_classification else folds


def _group_rows(
    division: Division, stratum: np.ndarray, fractions: Sequence[float], seed: int
) -> list[np.ndarray]:
    assert division.values is not None
    sizes = np.unique(division.values, return_counts=True)[1]
    if len(sizes) < _MIN_GROUPS:
        raise UserError(
            f"The group column '{division.column}' has only {len(sizes)} different values: at "
            f"least {_MIN_GROUPS} are needed to divide them among three parts, so name another "
            "column or use a random split."
        )
    rows = splitting.group_parts(stratum, division.values, fractions, seed)
    in_development = len(np.unique(division.values[rows[0]]))
    if in_development < _MIN_GROUPS_IN_DEVELOPMENT or not all(len(part) for part in rows):
        raise UserError(
            f"The largest group of '{division.column}' has {sizes.max()} of {len(stratum)} rows, "
            "too many to divide groups among three parts: name another group column or use a "
            "random split."
        )
    return rows


def _check_classes(rows: list[np.ndarray], answer: Target, target: str, division: Division) -> None:
    """Each part needs two classes, development all but small ones (which a group or a time may keep
    elsewhere).
    """
    sizes = np.bincount(answer.y, minlength=len(answer.classes))
    for part, name in zip(rows, PARTS, strict=True):
        absent = np.flatnonzero(np.bincount(answer.y[part], minlength=len(sizes)) == 0)
        missed = (
            absent[sizes[absent] > _SMALL_SHARE * len(answer.y)]
            if name == "development"
            else absent[:0]
        )
        if len(sizes) - len(absent) < 2:
            missed = absent
        if len(missed):
            where = (
                f" of the {division.kind} split by '{division.column}'" if division.column else ""
            )
            raise UserError(
                f"Class '{answer.classes[missed[0]]}' of the target '{target}' has no row in "
                f"{name}{where}: choose other fractions, another seed or a random split, or join "
                "the class with another."
            )


def _undivided_note(rows: list[np.ndarray], answer: Target, target: str) -> list[str]:
    """Which classes have all their rows in development."""
    if not answer.classes:
        return []
    sizes = np.bincount(answer.y, minlength=len(answer.classes))
    whole = np.flatnonzero(np.bincount(answer.y[rows[0]], minlength=len(sizes)) == sizes)
    if not len(whole):
        return []
    named = named_sizes([answer.classes[c] for c in whole], sizes[whole])
    return [f"classes of '{target}' whose rows are all in development, too few to divide: {named}"]
