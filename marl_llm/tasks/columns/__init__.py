"""Columns of text in, typed columns out: numbers, categories, dates, free text, missing values, and
which of them are no features.
"""

from __future__ import annotations

from marl_llm.tasks.columns.decision import ColumnKind, Decision, TypedColumn
from marl_llm.tasks.columns.typed import MISSING_WORDS, read_as, read_column

__all__ = ["MISSING_WORDS", "ColumnKind", "Decision", "TypedColumn", "read_as", "read_column"]
