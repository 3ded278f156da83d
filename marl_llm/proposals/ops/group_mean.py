"""`group_mean`: means of numbers within each value of a category.

Its transformer learns from the training rows, so it is a class of scikit-learn's, in a file of its
own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.proposals.ops.feature import Feature, Order, Takes, source_below_mark

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def _build() -> BaseEstimator:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from marl_llm.proposals.ops.group_mean_transformer import GroupMean

    return make_pipeline(GroupMean(), StandardScaler())


GROUP_MEAN = Feature(
    name="group_mean",
    meaning="of numbers within a category, first",
    takes=Takes(2, first=("categorical",), order=Order.first),
    constant="GROUP_MEAN",
    code="make_pipeline(GroupMean(), StandardScaler())",
    build=_build,
    own=source_below_mark(Path(__file__).with_name("group_mean_transformer.py")),
    synonyms=("group_stats",),
)
