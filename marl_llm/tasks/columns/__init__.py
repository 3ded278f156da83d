"""Columns of text in, typed columns out: numbers, categories, dates, free text, missing values, and
which of them are no features.
"""

from __future__ import annotations

from marl_llm.tasks.columns.typed import (
    MISSING_WORDS,
    ColumnKind,
    Override,
    TypedColumn,
    read_column,
)

__all__ = ["MISSING_WORDS", "ColumnKind", "Override", "TypedColumn", "read_column"]
