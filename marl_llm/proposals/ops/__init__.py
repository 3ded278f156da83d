"""The feature operations, one record each in a file of its own; prompts and code keep this order.

How to add one: marl_llm/proposals/README.md.
"""

from __future__ import annotations

from marl_llm.proposals.ops.bin import BIN
from marl_llm.proposals.ops.dates import DATES
from marl_llm.proposals.ops.difference import DIFFERENCE
from marl_llm.proposals.ops.drop import DROP
from marl_llm.proposals.ops.encode import ENCODE
from marl_llm.proposals.ops.feature import Feature
from marl_llm.proposals.ops.group_mean import GROUP_MEAN
from marl_llm.proposals.ops.impute import IMPUTE
from marl_llm.proposals.ops.keep_all import KEEP_ALL
from marl_llm.proposals.ops.log import LOG
from marl_llm.proposals.ops.missing import MISSING
from marl_llm.proposals.ops.pca import PCA_OPERATION
from marl_llm.proposals.ops.polynomial import POLYNOMIAL
from marl_llm.proposals.ops.preparation import Choice, Reducer, Removal, Undo
from marl_llm.proposals.ops.ratio import RATIO
from marl_llm.proposals.ops.scale import SCALE
from marl_llm.proposals.ops.select import SELECT
from marl_llm.proposals.ops.tfidf import TFIDF

Operation = Choice | Reducer | Undo | Removal | Feature

CHOICES: tuple[Choice, ...] = (IMPUTE, SCALE, ENCODE)
REDUCERS: dict[str, Reducer] = {record.name: record for record in (SELECT, PCA_OPERATION)}
FEATURES: dict[str, Feature] = {
    record.name: record
    for record in (
        LOG,
        POLYNOMIAL,
        MISSING,
        BIN,
        RATIO,
        DIFFERENCE,
        DATES,
        TFIDF,
        GROUP_MEAN,
    )
}
"""Added features by name."""
OPERATIONS: dict[str, Operation] = {
    record.name: record
    for record in (*CHOICES, *REDUCERS.values(), KEEP_ALL, *FEATURES.values(), DROP)
}
"""All operations by name."""

__all__ = ["CHOICES", "DROP", "FEATURES", "KEEP_ALL", "OPERATIONS", "REDUCERS", "Operation"]
