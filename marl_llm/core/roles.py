"""The two roles. Their names are also directory names, adapter names and values of the `role`
column.
"""

from __future__ import annotations

DATA_SCIENTIST = "data_scientist"
ML_ENGINEER = "ml_engineer"
ROLES: tuple[str, str] = (DATA_SCIENTIST, ML_ENGINEER)
TEAM = "team"
"""Name of the one adapter that both roles share, where a recipe says so; it trains on the rows of
both.
"""
