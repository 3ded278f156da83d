"""The column to predict: its kind, its classes, and the errors people make with it.

In: the typed target column and the kind the user asked for, if any. Out: a `Target`: class indices
or values of the rows that have one. Features are none of its business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.core.metrics import METRICS
from marl_llm.core.metrics.names import split_class

MIN_ROWS = 30
ROWS_TO_DIVIDE = 5
"""A class with fewer rows is not divided: all of them are in development, so that it can be
learned.
"""
LEAST_TO_DIVIDE = 4
"""The same where fewer than two classes have that many: a score needs two classes in each part."""
_MAX_INTEGER_CLASSES = 10
MAX_CLASSES = 200


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted.

    Attributes
    ----------
    y : ndarray, shape (n,)
        int64 class index or float64 value.
    kind : Kind
    classes : tuple of str
        Names of the classes in the order of their index: numbers by value, text by code point (a
        positive class that was named comes last); () for regression.
    """

    y: np.ndarray
    kind: Kind
    classes: tuple[str, ...]


def read_target(
    column: pd.Series, name: str, kind: Kind | str | None = None, positive: str | None = None
) -> Target:
    """Turn a typed column without missing values into a target.

    Without `kind`: text and booleans are classes; numbers are classes if they are whole with at
    most 10 distinct values, or have two distinct values; other numbers are a regression target.
    `positive` names the class of a binary target that gets index 1.

    Raises
    ------
    UserError
        Unknown or unfitting kind or positive class, fewer than two classes that can be divided
        among three parts, more rows of small classes than of others, too few rows.
    """
    if len(column) < MIN_ROWS:
        raise UserError(
            f"Only {len(column)} rows have a value of the target '{name}': at least "
            f"{MIN_ROWS} are needed."
        )
    asked = _parse_kind(kind)
    if column.nunique() < 2:
        raise UserError(
            f"The target '{name}' has the same value '{_class_name(column.iloc[0])}' in every row: "
            "there is nothing to predict."
        )
    regression = asked is Kind.regression if asked else not _is_class_like(column)
    if regression:
        if positive is not None:
            raise UserError(
                f"The target '{name}' is a number, so it has no positive class: leave "
                "'positive' out."
            )
        return _regression(column, name)
    target = _classification(column, name, asked)
    return target if positive is None else _with_positive(target, name, positive)


def kind_of_metrics(column: pd.Series, metrics: Iterable[str]) -> Kind | None:
    """The kind that all named metrics ask for where whole numbers can be classes and values, or
    None.
    """
    if column.dtype == object or not bool((column % 1 == 0).all()):
        return None
    known = [
        METRICS[split_class(name)[0]].kinds for name in metrics if split_class(name)[0] in METRICS
    ]
    if known and all(set(kinds) == {Kind.regression} for kinds in known):
        return Kind.regression
    distinct = column.nunique()
    if known and distinct <= MAX_CLASSES and all(Kind.regression not in kinds for kinds in known):
        return Kind.binary if distinct == 2 else Kind.multiclass
    return None


def _parse_kind(kind: Kind | str | None) -> Kind | None:
    if kind is None:
        return None
    try:
        return Kind(str(kind))
    except ValueError:
        raise UserError(
            f"Unknown kind of target '{kind}': choose binary, multiclass or regression."
        ) from None


def _is_class_like(column: pd.Series) -> bool:
    if column.dtype == object:
        return True
    distinct = column.nunique()
    return distinct == 2 or (distinct <= _MAX_INTEGER_CLASSES and bool((column % 1 == 0).all()))


def _regression(column: pd.Series, name: str) -> Target:
    if column.dtype == object:
        raise UserError(
            f"The target '{name}' is text (for example '{column.iloc[0]}'), so its kind can't be "
            "regression: use binary or multiclass."
        )
    return Target(column.to_numpy(dtype=np.float64), Kind.regression, ())


def _classification(column: pd.Series, name: str, asked: Kind | None) -> Target:
    values = sorted(column.unique().tolist())
    found = Kind.binary if len(values) == 2 else Kind.multiclass
    if asked and asked is not found:
        raise UserError(
            f"The target '{name}' has {len(values)} different values, so its kind can't be "
            f"{asked}: use {_fitting(found, column)}."
        )
    if len(values) > MAX_CLASSES:
        raise UserError(
            f"The target '{name}' has {len(values)} different values, too many for classes: "
            "name another target."
        )
    codes = column.map({value: code for code, value in enumerate(values)}).to_numpy(dtype=np.int64)
    _check_class_sizes(np.bincount(codes), [_class_name(value) for value in values], name)
    return Target(codes, found, tuple(_class_name(value) for value in values))


def _with_positive(target: Target, name: str, positive: str) -> Target:
    """The same binary target with the named class at index 1."""
    if target.kind is not Kind.binary:
        raise UserError(
            f"The target '{name}' has {len(target.classes)} classes, so none is positive: "
            "leave it out."
        )
    if positive not in target.classes:
        raise UserError(
            f"The target '{name}' has no class '{positive}': the positive class is "
            f"'{target.classes[0]}' or '{target.classes[1]}'."
        )
    if positive == target.classes[1]:
        return target
    return Target(1 - target.y, target.kind, target.classes[::-1])


def _fitting(found: Kind, column: pd.Series) -> str:
    return str(found) if column.dtype == object else f"{found} or regression"


def rows_to_divide(sizes: np.ndarray) -> int:
    """Rows from which on a class is divided among development, hold-out and test; `sizes` are rows
    by class.
    """
    return ROWS_TO_DIVIDE if (sizes >= ROWS_TO_DIVIDE).sum() >= 2 else LEAST_TO_DIVIDE


def named_sizes(names: Sequence[str], sizes: np.ndarray, most: int = 10) -> str:
    """Classes with their rows, as "'a' (1 row), 'b' (3 rows) and 2 more"."""
    shown = [
        f"'{name}' ({size} row{'s' if size != 1 else ''})"
        for name, size in zip(names, sizes, strict=True)
    ]
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest


def _check_class_sizes(sizes: np.ndarray, names: Sequence[str], name: str) -> None:
    least = rows_to_divide(sizes)
    small = sizes < least
    if (~small).sum() < 2:
        listed = named_sizes(
            [name for name, few in zip(names, small, strict=True) if few], sizes[small], most=3
        )
        raise UserError(
            f"The target '{name}' needs two classes of at least {LEAST_TO_DIVIDE} rows, so that "
            f"development, hold-out and test can have both, but it has {listed}: add rows or join "
            "classes."
        )
    if sizes[small].sum() > sizes.sum() / 2:
        raise UserError(
            f"{small.sum()} of the {len(sizes)} classes of the target '{name}' have fewer than "
            f"{least} rows, and together most of all rows: join classes or name another target."
        )


def _class_name(value: object) -> str:
    """Whole numbers without the decimal point, as they stand in most files."""
    return str(int(value)) if isinstance(value, float) and value % 1 == 0 else str(value)
