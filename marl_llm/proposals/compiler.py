"""`compile`: the scikit-learn estimator of a `PipelineSpec`, built directly from objects, without
any code text.

It is the trusted twin of `generate_code`: tests hold the two against each other. scikit-learn is
imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, Self, cast

from marl_llm.proposals.codegen import INNER_FOLDS
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.features import Extra, Reduction
from marl_llm.proposals.ops import REDUCERS
from marl_llm.proposals.ops.encode import ENCODE
from marl_llm.proposals.ops.impute import IMPUTE
from marl_llm.proposals.ops.preparation import Choice
from marl_llm.proposals.ops.scale import SCALE
from marl_llm.proposals.spec import BLEND, PipelineSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.base import BaseEstimator
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline


class Model(Protocol):
    """What a compiled solution can do. `predict_proba` is there for classifiers."""

    def fit(self, X: pd.DataFrame, y: np.ndarray, /) -> Self:
        """Fit."""
        ...

    def predict(self, X: pd.DataFrame, /) -> np.ndarray:
        """Labels or values, shape (n,)."""
        ...

    def predict_proba(self, X: pd.DataFrame, /) -> np.ndarray:
        """Class probabilities, shape (n, K)."""
        ...


def compile(spec: PipelineSpec) -> Model:
    """Build the unfitted scikit-learn pipeline of a solution.

    Returns
    -------
    sklearn.pipeline.Pipeline, or an ensemble of such
        Expects a frame whose columns are the aliases, as `Task` parts hold them.
    """
    return cast("Model", _ensemble(spec) if spec.members else _solution(spec))


def _solution(spec: PipelineSpec) -> Pipeline:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from marl_llm.core.frames import drop_columns

    drop = FunctionTransformer(drop_columns, kw_args={"columns": list(spec.drop)})
    reduction = [_reduction(spec.reduce, spec.classifier)] if spec.reduce is not None else []
    return make_pipeline(
        *[drop] * bool(spec.drop), _preparation(spec), *reduction, _estimator(spec)
    )


def _ensemble(spec: PipelineSpec) -> BaseEstimator:
    from sklearn import ensemble
    from sklearn.linear_model import LogisticRegression, Ridge

    from marl_llm.proposals.blending import BlendClassifier, BlendRegressor

    members = [(f"s{i}", _solution(member)) for i, member in enumerate(spec.members, 1)]
    if spec.estimator == BLEND and spec.classifier:
        return BlendClassifier(members, weights=list(spec.weights), power=spec.power)
    if spec.estimator == BLEND:
        return BlendRegressor(members, weights=list(spec.weights))
    if spec.estimator == "Voting" and spec.classifier:
        return ensemble.VotingClassifier(members, voting="soft")
    if spec.estimator == "Voting":
        return ensemble.VotingRegressor(members)
    if spec.classifier:
        return ensemble.StackingClassifier(
            members, final_estimator=LogisticRegression(), cv=INNER_FOLDS
        )
    return ensemble.StackingRegressor(members, final_estimator=Ridge(), cv=INNER_FOLDS)


def _preparation(spec: PipelineSpec) -> ColumnTransformer:
    from sklearn.compose import make_column_selector, make_column_transformer

    return make_column_transformer(
        (_numeric(spec), make_column_selector(dtype_include="number")),
        (_categorical(spec), make_column_selector(pattern="^(?!t[0-9])", dtype_exclude="number")),
        *((extra.record.build(), _columns(extra)) for extra in spec.extra),
    )


def _columns(extra: Extra) -> str | list[str]:
    return extra.columns[0] if extra.record.series else list(extra.columns)


def _numeric(spec: PipelineSpec) -> Pipeline:
    from sklearn.pipeline import make_pipeline

    steps = (_method(IMPUTE, spec), _method(SCALE, spec))
    return make_pipeline(*(step for step in steps if step is not None))


def _categorical(spec: PipelineSpec) -> Pipeline:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(strategy="most_frequent"), _method(ENCODE, spec))


def _method(choice: Choice, spec: PipelineSpec) -> BaseEstimator | None:
    return choice.method(getattr(spec, choice.name)).build(spec.classifier)


def _reduction(reduction: Reduction, classifier: bool) -> BaseEstimator:
    return REDUCERS[reduction.op].build(reduction.amount, classifier)


def _estimator(spec: PipelineSpec) -> BaseEstimator:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import TunedThresholdClassifierCV

    info = ESTIMATORS[spec.estimator]
    estimator = getattr(import_module(info.module), info.name)(
        **dict(spec.params), **dict(info.fixed)
    )
    if spec.calibration is not None:
        estimator = CalibratedClassifierCV(estimator, method=spec.calibration, cv=INNER_FOLDS)
    if spec.threshold is not None:
        estimator = TunedThresholdClassifierCV(estimator, scoring=spec.threshold, cv=INNER_FOLDS)
    return estimator
