"""`missing`: an indicator of missing values per column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marl_llm.proposals.ops.columns import NUMBERS
from marl_llm.proposals.ops.feature import Feature, Takes

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def _build() -> BaseEstimator:
    from sklearn.impute import MissingIndicator

    return MissingIndicator(features="all")


MISSING = Feature(
    name="missing",
    meaning="indicators",
    takes=Takes(kinds=(*NUMBERS, "categorical")),
    constant="MISSING",
    code='MissingIndicator(features="all")',
    build=_build,
    imports={"sklearn.impute": ("MissingIndicator",)},
    synonyms=("indicator", "missing_indicator"),
    columnwise=True,
    gaps_only=True,
)
