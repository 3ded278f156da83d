"""`encode`: how categories become numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from marl_llm.proposals.ops.action import OperationAction
from marl_llm.proposals.ops.preparation import Choice, Method

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

EncodeMethod = Literal["ordinal", "one_hot", "target"]


class Encode(OperationAction, frozen=True, extra="forbid"):
    """Encode all categorical columns; `target`: mean of the target, cross-fitted so that nothing
    leaks.
    """

    op: Literal["encode"] = "encode"
    method: EncodeMethod


def _ordinal(_classifier: bool) -> BaseEstimator:
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def _one_hot(_classifier: bool) -> BaseEstimator:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)


def _target(classifier: bool) -> BaseEstimator:
    """Cross-fitted by fit_transform, so a row's own target never enters its encoding."""
    from sklearn.preprocessing import TargetEncoder

    kind = "auto" if classifier else "continuous"
    return TargetEncoder(target_type=kind, random_state=0)


ENCODE = Choice(
    name="encode",
    action=Encode,
    kinds=("categorical",),
    methods=(
        Method(
            "ordinal",
            "ORDINAL",
            _ordinal,
            constants={
                "ORDINAL": 'OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)'
            },
            imports={"sklearn.preprocessing": ("OrdinalEncoder",)},
            synonyms=("label",),
        ),
        Method(
            "one_hot",
            "ONE_HOT",
            _one_hot,
            constants={"ONE_HOT": 'OneHotEncoder(handle_unknown="ignore", sparse_output=False)'},
            imports={"sklearn.preprocessing": ("OneHotEncoder",)},
            synonyms=("onehot", "ohe", "dummy", "dummies"),
        ),
        Method(
            "target",
            "TARGET",
            _target,
            regression_code="TARGET_NUM",
            constants={
                "TARGET": "TargetEncoder(random_state=0)",
                "TARGET_NUM": 'TargetEncoder(target_type="continuous", random_state=0)',
            },
            imports={"sklearn.preprocessing": ("TargetEncoder",)},
            synonyms=("target_encoding", "mean_encoding"),
        ),
    ),
    default="ordinal",
    matters=lambda columns: any(column.kind == "categorical" for column in columns),
)
