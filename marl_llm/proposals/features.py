"""Added features and reductions: what they are called, which columns they take, in which order.

Plain data for specs and actions; how each is computed stands in `codegen.py` (as code) and `compiler.py` (as objects).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

ColumnKind = Literal["numeric", "categorical", "date", "text"]
ExtraOp = Literal[
    "log", "polynomial", "missing", "bin", "ratio", "difference", "dates", "tfidf", "group_mean"
]  # fmt: skip
EXTRA_OPS: tuple[ExtraOp, ...] = get_args(ExtraOp)
_ALIAS = re.compile(r"[xt][0-9]+")
NUMBERS: tuple[ColumnKind, ...] = ("numeric", "date")


@dataclass(frozen=True)
class Takes:
    """What columns a feature takes.

    Attributes
    ----------
    least, most : int
        Number of columns.
    kinds : tuple of ColumnKind
        Kinds of the columns after the first.
    first : tuple of ColumnKind
        Kinds of the first column.
    ordered : bool
        The order of the columns means something.
    """

    least: int
    most: int
    kinds: tuple[ColumnKind, ...]
    first: tuple[ColumnKind, ...]
    ordered: bool = False


TAKES: dict[ExtraOp, Takes] = {
    "log": Takes(1, 1000, NUMBERS, NUMBERS),
    "polynomial": Takes(2, 8, NUMBERS, NUMBERS),
    "missing": Takes(1, 1000, (*NUMBERS, "categorical"), (*NUMBERS, "categorical")),
    "bin": Takes(1, 1000, NUMBERS, NUMBERS),
    "ratio": Takes(2, 2, NUMBERS, NUMBERS, ordered=True),
    "difference": Takes(2, 2, NUMBERS, NUMBERS, ordered=True),
    "dates": Takes(1, 1000, ("date",), ("date",)),
    "tfidf": Takes(1, 1, ("text",), ("text",)),
    "group_mean": Takes(2, 1000, NUMBERS, ("categorical",), ordered=True),
}


COLUMNWISE: tuple[ExtraOp, ...] = ("log", "missing", "bin", "dates")
"""Features that each column gives by itself: of two columns at once or one after the other is the same."""


def alias_order(alias: str) -> tuple[int, str]:
    """Sort key that puts x2 before x10."""
    digits = alias[1:]
    return (int(digits) if digits.isdecimal() and len(digits) < 9 else 1 << 30, alias)


def sorted_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Distinct aliases in alias order."""
    return tuple(sorted(set(columns), key=alias_order))


def ordered_columns(op: ExtraOp, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns of a feature as they are written: as given where the order means something, else in alias order.

    Of `group_mean` the first column stands for itself, the others are sorted.
    """
    if op == "group_mean":
        first, *rest = tuple(columns) or ("",)
        return (first, *sorted_columns(rest)) if first else ()
    return tuple(columns) if TAKES[op].ordered else sorted_columns(columns)


class Extra(BaseModel):
    """Features added beside the original columns, computed from some of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    op: ExtraOp
    columns: tuple[str, ...]

    @model_validator(mode="after")
    def _enough(self) -> Extra:
        takes = TAKES[self.op]
        if not takes.least <= len(self.columns) <= takes.most or not all(map(_ALIAS.fullmatch, self.columns)):
            raise ValueError(f"{self.op} takes {takes.least} to {takes.most} aliases")
        return self

    @property
    def component(self) -> str:
        """Its name among the components of a solution."""
        return f"{self.op} {' '.join(self.columns)}"

    def without(self, dropped: Iterable[str]) -> Extra | None:
        """The same feature without some columns; None where it cannot be computed any more."""
        gone, takes = set(dropped), TAKES[self.op]
        kept = tuple(c for c in self.columns if c not in gone)
        if len(kept) < takes.least or (takes.ordered and self.columns[0] in gone):
            return None
        return self.model_copy(update={"columns": kept})


class Reduction(BaseModel):
    """Fewer columns before the estimator: the `amount` best by univariate F-test (`select`), or principal components
    that keep a share `amount` of the variance (`pca`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    op: Literal["select", "pca"]
    amount: float = Field(gt=0, le=10_000, allow_inf_nan=False)

    @property
    def component(self) -> str:
        """Its value among the components of a solution."""
        return f"{self.op} {self.amount:g}"
