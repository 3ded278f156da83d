"""`drop`: columns that no later step sees."""

from __future__ import annotations

from typing import Literal

from marl_llm.proposals.ops.action import ColumnsAction
from marl_llm.proposals.ops.preparation import Removal


class Drop(ColumnsAction, frozen=True, extra="forbid"):
    """Remove columns."""

    op: Literal["drop"] = "drop"


DROP = Removal(name="drop", action=Drop, synonyms=("remove",))
