"""The record of an added feature: columns computed from others and put beside them.

Schema, prompts, prelude, generated code, compiler and readers are made of these records. Only
`build` imports scikit-learn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.proposals.ops.columns import NUMBERS, ColumnKind, sorted_columns

if TYPE_CHECKING:
    import numpy as np
    from sklearn.base import BaseEstimator

MOST_COLUMNS = 1000
Imports = Mapping[str, tuple[str, ...]]
"""Names by the module they are imported from, e.g. {"sklearn.preprocessing": ("MaxAbsScaler",)}."""


class Order(StrEnum):
    """What the order of a feature's columns means."""

    none = "none"
    first = "first"
    """The first column is another than the rest, whose order means nothing."""
    given = "given"


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
        Kinds of the first column; those of the others where empty.
    order : Order
    """

    least: int = 1
    most: int = MOST_COLUMNS
    kinds: tuple[ColumnKind, ...] = NUMBERS
    first: tuple[ColumnKind, ...] = ()
    order: Order = Order.none

    def allowed(self, position: int) -> tuple[ColumnKind, ...]:
        """Kinds of the column at that position."""
        return self.first or self.kinds if position == 0 else self.kinds

    def arranged(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """The columns as they are written: sorted where their order means nothing."""
        if self.order is Order.given:
            return columns
        if self.order is Order.first:
            return (*columns[:1], *sorted_columns(columns[1:]))
        return sorted_columns(columns)


@dataclass(frozen=True)
class Feature:
    """An added feature.

    Attributes
    ----------
    name : str
        Its word in proposals, e.g. "log".
    meaning : str
        What it is, for the schema, e.g. "signed logarithm".
    takes : Takes
    constant : str
        Its name in code, defined by the prelude, e.g. "LOG".
    code : str
        What the constant stands for; names are those of `imports`, `own` and the prelude.
    build : callable
        Makes the same transformer as an object; it takes a frame of the columns.
    imports : Imports
        What the code needs besides `make_pipeline`, `SimpleImputer`, `StandardScaler` and
        `FunctionTransformer`.
    own : str
        Source of transformers that scikit-learn lacks, see `source_of`; the prelude embeds it.
    synonyms : tuple of str
        Other words for it, in lower case with underscores.
    columnwise : bool
        Each column gives its features by itself: two at once or one by one is the same.
    series : bool
        Takes its one column as a series (1-D) instead of a frame.
    gaps_only : bool
        Changes nothing for columns without missing values.
    skewed_only : bool
        Carried over to skewed columns of other data sets only.
    """

    name: str
    meaning: str
    takes: Takes
    constant: str
    code: str
    build: Callable[[], BaseEstimator]
    imports: Imports = field(default_factory=dict[str, tuple[str, ...]])
    own: str = ""
    synonyms: tuple[str, ...] = ()
    columnwise: bool = False
    series: bool = False
    gaps_only: bool = False
    skewed_only: bool = False


def source_of(*functions: Callable[..., object]) -> str:
    """The source of functions that an operation brings along, for the prelude."""
    return "\n\n\n".join(inspect.getsource(function).strip("\n") for function in functions)


_MARK = "# ---- the prelude embeds what follows ----\n"


def source_below_mark(file: Path) -> str:
    """What a file embeds in the prelude; not imported, since scikit-learn takes a second."""
    return file.read_text(encoding="utf-8").split(_MARK)[1].strip("\n")


def scaled_code(transformer: str) -> str:
    """Code of a transformer of filled numbers, whose results are standardised."""
    return f"make_pipeline(SimpleImputer(), {transformer}, StandardScaler())"


def scaled(transformer: BaseEstimator) -> BaseEstimator:
    """The object of `scaled_code`."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(), transformer, StandardScaler())


def scaled_function(
    function: Callable[[np.ndarray], np.ndarray],
    *,
    name: str,
    meaning: str,
    constant: str,
    takes: Takes,
    synonyms: tuple[str, ...] = (),
    columnwise: bool = False,
    skewed_only: bool = False,
) -> Feature:
    """A feature that a numpy function computes of filled numbers, standardised.

    Parameters
    ----------
    function : callable
        Array of shape (n, columns) -> array of shape (n, features). The prelude embeds its source,
        so it uses `np` and nothing else of its module.
    name, meaning, constant, takes, synonyms, columnwise, skewed_only
        See `Feature`.
    """

    def build() -> BaseEstimator:
        from sklearn.preprocessing import FunctionTransformer

        return scaled(FunctionTransformer(function))

    return Feature(
        name=name,
        meaning=meaning,
        takes=takes,
        constant=constant,
        code=scaled_code(f"FunctionTransformer({function.__name__})"),
        build=build,
        own=source_of(function),
        synonyms=synonyms,
        columnwise=columnwise,
        skewed_only=skewed_only,
    )
