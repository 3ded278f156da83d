"""How a column is read: the record that inspection shows, a task file names, and reading new rows
obeys; and a column that was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

ColumnKind = Literal["numeric", "categorical", "date", "text"]


@dataclass(frozen=True)
class Decision:
    """How the cells of a column become values.

    Attributes
    ----------
    kind : ColumnKind
    reading : str
        A key of `READINGS`.
    parameters : tuple
        What that function takes after the cells.
    reason : str
        Why, in a phrase.
    line : str
        What says the same in a task file.
    missing, keep : tuple of str
        Words that mean missing in this column, besides the usual ones; usual words that are values
        here.
    """

    kind: ColumnKind
    reading: str
    parameters: tuple[Any, ...] = ()
    reason: str = ""
    line: str = ""
    missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TypedColumn:
    """One column, read.

    Attributes
    ----------
    values : Series
        float64 or object of str; the index of what was read.
    decision : Decision
        How it was read, and is read again.
    note : str or None
        What had to be given up or decided.
    example : str
        The first value as it was written; "" in an empty column.
    beside : TypedColumn or None
        What stands beside the numbers, where it says something of its own.
    """

    values: pd.Series
    decision: Decision
    note: str | None = None
    example: str = ""
    beside: TypedColumn | None = None

    @property
    def kind(self) -> ColumnKind:
        """What the column holds."""
        return self.decision.kind
