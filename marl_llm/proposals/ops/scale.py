"""`scale`: how numbers are brought to a common scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.columns import NUMBERS
from marl_llm.proposals.ops.preparation import Choice, Method

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

ScaleMethod = Literal["none", "standard", "robust", "minmax", "power", "quantile"]


class Scale(OperationAction, frozen=True, extra="forbid"):
    """Scale all numeric columns."""

    op: Literal["scale"] = "scale"
    method: ScaleMethod


def _plain(word: ScaleMethod, scaler: str, *synonyms: str) -> Method:
    """A scaler of scikit-learn with its own defaults."""

    def build(_classifier: bool) -> BaseEstimator:
        from sklearn import preprocessing

        return getattr(preprocessing, scaler)()

    imports = {"sklearn.preprocessing": (scaler,)}
    return Method(word, f"{scaler}()", build, imports=imports, synonyms=synonyms)


def _quantile(_classifier: bool) -> BaseEstimator:
    from sklearn.preprocessing import QuantileTransformer

    return QuantileTransformer(n_quantiles=50, output_distribution="normal")


SCALE = Choice(
    name="scale",
    action=Scale,
    kinds=NUMBERS,
    methods=(
        Method("none", "", lambda _classifier: None),
        _plain("standard", "StandardScaler", "standardize", "standardise", "zscore"),
        _plain("robust", "RobustScaler"),
        _plain("minmax", "MinMaxScaler", "min_max", "normalize"),
        _plain("power", "PowerTransformer", "yeo_johnson", "yeojohnson"),
        Method(
            "quantile",
            "QUANTILE",
            _quantile,
            constants={
                "QUANTILE": 'QuantileTransformer(n_quantiles=50, output_distribution="normal")'
            },
            imports={"sklearn.preprocessing": ("QuantileTransformer",)},
            synonyms=("gaussian", "rank"),
        ),
    ),
    default="standard",
)
