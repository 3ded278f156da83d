"""The two roles. Their names are also directory names, adapter names and values of the `role` column."""

from __future__ import annotations

DATA_SCIENTIST = "data_scientist"
ML_ENGINEER = "ml_engineer"
ROLES: tuple[str, str] = (DATA_SCIENTIST, ML_ENGINEER)
