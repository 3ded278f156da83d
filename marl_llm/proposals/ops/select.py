"""`select`: the prepared columns that go best with the target, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.preparation import Reducer

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class Select(OperationAction, frozen=True, extra="forbid"):
    """Keep the k prepared columns with the strongest univariate relation to the target."""

    op: Literal["select"] = "select"
    k: int = Field(ge=1, le=10_000)


def _code(amount: float, classifier: bool) -> str:
    test = "" if classifier else "f_regression, "
    return f"SelectKBest({test}k={amount:g})"


def _build(amount: float, classifier: bool) -> BaseEstimator:
    from sklearn.feature_selection import SelectKBest, f_classif, f_regression

    return SelectKBest(f_classif if classifier else f_regression, k=int(amount))


SELECT = Reducer(
    name="select",
    action=Select,
    example=10,
    grid=(5, 10, 20),
    parameter="k",
    code=_code,
    build=_build,
    implied=10,
    imports={"sklearn.feature_selection": ("SelectKBest", "f_classif", "f_regression")},
    synonyms=("select_k_best",),
)
