"""Columns as operations see them: kinds, aliases and their order. Plain data, no pandas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["numeric", "categorical", "date", "text"]
NUMBERS: tuple[ColumnKind, ...] = ("numeric", "date")
"""Kinds of columns that are numbers to every transformer."""


@dataclass(frozen=True)
class ColumnFacts:
    """A column's own name, its kind, and whether it has missing values."""

    name: str
    kind: ColumnKind
    gaps: bool


def alias_order(alias: str) -> tuple[int, str]:
    """Sort key that puts x2 before x10."""
    digits = alias[1:]
    return (int(digits) if digits.isdecimal() and len(digits) < 9 else 1 << 30, alias)


def sorted_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Distinct aliases in alias order."""
    return tuple(sorted(set(columns), key=alias_order))
