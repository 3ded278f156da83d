"""The columns that a computation on logged rows needs."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from marl_llm.core.errors import UserError


def require_columns(rows: pd.DataFrame, names: Iterable[str], what: str) -> None:
    """Check that `rows` have the columns that `what` needs.

    Raises
    ------
    UserError
        The first of `names` that is missing.
    """
    missing = next((name for name in names if name not in rows), None)
    if missing is not None:
        raise UserError(
            f"the rows lack the column {missing!r}, which {what} needs; were they written by "
            "this version?"
        )
