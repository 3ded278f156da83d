"""`compile`: the scikit-learn estimator of a `PipelineSpec`, built directly from objects, without any code text.

It is the trusted twin of `generate_code`: tests hold the two against each other. scikit-learn is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.spec import Extra, PipelineSpec


def signed_log(X: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|), elementwise; X has shape (n_rows, n_columns)."""
    return np.sign(X) * np.log1p(np.abs(X))


def _numeric(spec: PipelineSpec) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, StandardScaler

    scalers = {
        "none": [],
        "standard": [StandardScaler()],
        "quantile": [QuantileTransformer(n_quantiles=50, output_distribution="normal")],
    }
    return make_pipeline(SimpleImputer(strategy=spec.impute), *scalers[spec.scale])


def _categorical(spec: PipelineSpec) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if spec.encode == "one_hot":
        encoder: Any = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    else:
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)


def _extra(extra: Extra) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

    if extra.op == "log":
        added: Any = FunctionTransformer(signed_log)
    else:
        added = PolynomialFeatures(degree=2, include_bias=False)
    return make_pipeline(SimpleImputer(), added, StandardScaler())


def compile(spec: PipelineSpec) -> Any:
    """Build the unfitted scikit-learn pipeline of a solution.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Expects a frame whose columns are the aliases, as `Task` parts hold them.
    """
    import pandas as pd
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    preparation = make_column_transformer(
        (_numeric(spec), make_column_selector(dtype_include="number")),  # pyright: ignore[reportArgumentType]
        (_categorical(spec), make_column_selector(dtype_exclude="number")),  # pyright: ignore[reportArgumentType]
        *((_extra(extra), list(extra.columns)) for extra in spec.extra),
    )
    info = ESTIMATORS[spec.estimator]
    estimator = getattr(import_module(f"sklearn.{info.module}"), info.name)(**dict(spec.params))
    if not spec.drop:
        return make_pipeline(preparation, estimator)
    drop = FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": list(spec.drop)})
    return make_pipeline(drop, preparation, estimator)
