"""`pca`: principal components instead of the prepared columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.preparation import Reducer

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class Pca(OperationAction, frozen=True, extra="forbid"):
    """Replace the prepared columns by principal components that keep a share of their variance."""

    op: Literal["pca"] = "pca"
    variance: float = Field(gt=0, lt=1)


def _build(amount: float, _classifier: bool) -> BaseEstimator:
    from sklearn.decomposition import PCA

    return PCA(n_components=amount)


PCA_OPERATION = Reducer(
    name="pca",
    action=Pca,
    example=0.9,
    grid=(0.8, 0.9, 0.95, 0.99),
    parameter="n_components",
    code=lambda amount, _classifier: f"PCA(n_components={amount})",
    build=_build,
    imports={"sklearn.decomposition": ("PCA",)},
)
