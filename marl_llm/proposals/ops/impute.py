"""`impute`: how missing numbers are filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.columns import NUMBERS
from marl_llm.proposals.ops.preparation import Choice, Method

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

ImputeStrategy = Literal["mean", "median"]


class Impute(OperationAction, frozen=True, extra="forbid"):
    """Fill missing numbers."""

    op: Literal["impute"] = "impute"
    strategy: ImputeStrategy


def _method(strategy: ImputeStrategy, *synonyms: str) -> Method:
    def build(_classifier: bool) -> BaseEstimator:
        from sklearn.impute import SimpleImputer

        return SimpleImputer(strategy=strategy)

    return Method(strategy, f'SimpleImputer(strategy="{strategy}")', build, synonyms=synonyms)


IMPUTE = Choice(
    name="impute",
    action=Impute,
    kinds=NUMBERS,
    methods=(_method("mean", "average"), _method("median")),
    default="mean",
    matters=lambda columns: any(column.kind in NUMBERS and column.gaps for column in columns),
)
