"""The three kinds of supervised task."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Kind of target: two classes, more than two classes, or a number."""

    binary = "binary"
    multiclass = "multiclass"
    regression = "regression"

    @property
    def is_classification(self) -> bool:
        """True for binary and multiclass targets."""
        return self is not Kind.regression
