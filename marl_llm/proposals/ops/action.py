"""Base classes of the feature operations in a proposal; each record names its own class."""

from __future__ import annotations

from pydantic import BaseModel, Field


class OperationAction(BaseModel, frozen=True, extra="forbid"):
    """One feature operation of a proposal; `op` is the name of its record."""

    op: str


class ColumnsAction(OperationAction, frozen=True, extra="forbid"):
    """An operation on named columns."""

    columns: tuple[str, ...] = Field(min_length=1)
