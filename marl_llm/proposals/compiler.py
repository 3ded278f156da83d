"""`compile`: the scikit-learn estimator of a `PipelineSpec`, built directly from objects, without any code text.

It is the trusted twin of `generate_code`: tests hold the two against each other. scikit-learn is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from marl_llm.proposals.codegen import INNER_FOLDS
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.features import Reduction
from marl_llm.proposals.spec import BLEND, PipelineSpec


def compile(spec: PipelineSpec) -> Any:
    """Build the unfitted scikit-learn pipeline of a solution.

    Returns
    -------
    sklearn.pipeline.Pipeline, or an ensemble of such
        Expects a frame whose columns are the aliases, as `Task` parts hold them.
    """
    return _ensemble(spec) if spec.members else _solution(spec)


def _solution(spec: PipelineSpec) -> Any:
    import pandas as pd
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    drop = FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": list(spec.drop)})
    reduction = [_reduction(spec.reduce, spec.classifier)] if spec.reduce is not None else []
    return make_pipeline(*[drop] * bool(spec.drop), _preparation(spec), *reduction, _estimator(spec))


def _ensemble(spec: PipelineSpec) -> Any:
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
        return ensemble.StackingClassifier(members, final_estimator=LogisticRegression(), cv=INNER_FOLDS)
    return ensemble.StackingRegressor(members, final_estimator=Ridge(), cv=INNER_FOLDS)


def _preparation(spec: PipelineSpec) -> Any:
    from sklearn.compose import make_column_selector, make_column_transformer

    return make_column_transformer(
        (_numeric(spec), make_column_selector(dtype_include="number")),  # pyright: ignore[reportArgumentType]
        (_categorical(spec), make_column_selector(pattern="^(?!t[0-9])", dtype_exclude="number")),  # pyright: ignore[reportArgumentType]
        *((_extra(e.op), e.columns[0] if e.op == "tfidf" else list(e.columns)) for e in spec.extra),
    )


def _numeric(spec: PipelineSpec) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        MinMaxScaler,
        PowerTransformer,
        QuantileTransformer,
        RobustScaler,
        StandardScaler,
    )

    scalers = {
        "none": [],
        "standard": [StandardScaler()],
        "robust": [RobustScaler()],
        "minmax": [MinMaxScaler()],
        "power": [PowerTransformer()],
        "quantile": [QuantileTransformer(n_quantiles=50, output_distribution="normal")],
    }
    return make_pipeline(SimpleImputer(strategy=spec.impute), *scalers[spec.scale])


def _categorical(spec: PipelineSpec) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    if spec.encode == "one_hot":
        encoder: Any = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    elif spec.encode == "ordinal":
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    else:  # cross-fitted by fit_transform, so a row's own target never enters its encoding
        encoder = TargetEncoder(target_type="auto" if spec.classifier else "continuous", random_state=0)  # pyright: ignore[reportArgumentType]
    return make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)


def _extra(op: str) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, PolynomialFeatures, StandardScaler

    from marl_llm.proposals import transformers as own

    if op == "missing":
        return MissingIndicator(features="all")
    if op == "bin":
        bins = KBinsDiscretizer(n_bins=5, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
        return make_pipeline(SimpleImputer(), bins)
    if op == "tfidf":
        words = TfidfVectorizer(max_features=100)
        return make_pipeline(FunctionTransformer(own.fill_text), words, FunctionTransformer(own.dense))
    if op == "group_mean":
        return make_pipeline(own.GroupMean(), StandardScaler())
    if op == "polynomial":
        added: Any = PolynomialFeatures(degree=2, include_bias=False)
    else:
        functions = {"log": own.signed_log, "ratio": own.ratio, "difference": own.difference, "dates": own.date_parts}
        added = FunctionTransformer(functions[op])
    return make_pipeline(SimpleImputer(), added, StandardScaler())


def _reduction(reduction: Reduction, classifier: bool) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import SelectKBest, f_classif, f_regression

    if reduction.op == "pca":
        return PCA(n_components=reduction.amount)
    return SelectKBest(f_classif if classifier else f_regression, k=int(reduction.amount))


def _estimator(spec: PipelineSpec) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import TunedThresholdClassifierCV

    info = ESTIMATORS[spec.estimator]
    estimator = getattr(import_module(info.module), info.name)(**dict(spec.params), **dict(info.fixed))
    if spec.calibration is not None:
        estimator = CalibratedClassifierCV(estimator, method=spec.calibration, cv=INNER_FOLDS)
    if spec.threshold is not None:
        estimator = TunedThresholdClassifierCV(estimator, scoring=spec.threshold, cv=INNER_FOLDS)
    return estimator
