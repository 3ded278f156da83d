"""Credit assignment: logged rows with rewards go in, one advantage per row comes out. Pure numpy
and pandas, no torch.

`advantages` holds the arithmetic of groups, `team` the return that both roles share, `stage`
applies them to one role's rows and keeps the result in `credit/<role>.parquet`; `gae` is for
training by PPO.
"""

from __future__ import annotations

from marl_llm.credit.advantages import GroupAdvantages, Reason, Scale, group_relative
from marl_llm.credit.stage import (
    CREDIT_COLUMNS,
    ROW_KEY,
    CreditConfig,
    CreditStatistics,
    CreditTable,
    assign_credit,
    credit_path,
    read_credit,
    write_credit,
)

__all__ = [
    "CREDIT_COLUMNS",
    "ROW_KEY",
    "CreditConfig",
    "CreditStatistics",
    "CreditTable",
    "GroupAdvantages",
    "Reason",
    "Scale",
    "assign_credit",
    "credit_path",
    "group_relative",
    "read_credit",
    "write_credit",
]
