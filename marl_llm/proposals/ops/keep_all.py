"""`reduce none`: all prepared columns again."""

from __future__ import annotations

from typing import Literal

from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.preparation import Undo


class KeepAll(OperationAction, frozen=True, extra="forbid"):
    """Undo `select` or `pca`."""

    op: Literal["reduce"] = "reduce"
    method: Literal["none"] = "none"


KEEP_ALL = Undo(name="reduce", action=KeepAll, word="none")
