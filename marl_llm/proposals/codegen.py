"""`generate_code`: the Python of a `PipelineSpec`, as the Engineer reads and writes it, and the prelude it stands on.

The generated block defines `build_pipeline()` and nothing else. `PRELUDE` gives the imports and the few names it
uses, and is part of every delivered solution; scikit-learn clones transformers when it fits, so the shared constants
are safe.
"""

from __future__ import annotations

import json

from marl_llm.proposals.estimators import ESTIMATORS, ParamValue
from marl_llm.proposals.spec import PipelineSpec


def _estimator_imports() -> str:
    modules: dict[str, list[str]] = {}
    for info in ESTIMATORS.values():
        modules.setdefault(info.module, []).append(info.name)
    return "\n".join(f"from sklearn.{module} import {', '.join(sorted(modules[module]))}" for module in sorted(modules))


PRELUDE = f"""\
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer, OneHotEncoder, OrdinalEncoder, PolynomialFeatures, QuantileTransformer, StandardScaler,
)
{_estimator_imports()}


def signed_log(X):
    return np.sign(X) * np.log1p(np.abs(X))


NUM = make_column_selector(dtype_include="number")
CAT = make_column_selector(dtype_exclude="number")
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
QUANTILE = QuantileTransformer(n_quantiles=50, output_distribution="normal")
LOG = make_pipeline(SimpleImputer(), FunctionTransformer(signed_log), StandardScaler())
POLY = make_pipeline(SimpleImputer(), PolynomialFeatures(degree=2, include_bias=False), StandardScaler())
"""

ENCODERS = {"ordinal": "ORDINAL", "one_hot": "ONE_HOT"}
SCALERS = {"none": "", "standard": "StandardScaler()", "quantile": "QUANTILE"}
EXTRAS = {"log": "LOG", "polynomial": "POLY"}


def literal(value: ParamValue) -> str:
    """A parameter value as it stands in code."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def call(estimator: str, params: tuple[tuple[str, ParamValue], ...]) -> str:
    """The constructor call of an estimator, e.g. `SVC(C=0.3)`."""
    return f"{estimator}({', '.join(f'{name}={literal(value)}' for name, value in params)})"


def column_list(columns: tuple[str, ...]) -> str:
    """A list of aliases as it stands in code."""
    return json.dumps(list(columns))


def generate_code(spec: PipelineSpec) -> str:
    """The canonical code of a solution: the text of `build_pipeline`, without the prelude.

    Two equal specs give the same text; `compile(spec)` and the executed text predict identically.
    """
    scaler = f", {SCALERS[spec.scale]}" if SCALERS[spec.scale] else ""
    lines = [
        "def build_pipeline():",
        f'    num = make_pipeline(SimpleImputer(strategy="{spec.impute}"){scaler})',
        f'    cat = make_pipeline(SimpleImputer(strategy="most_frequent"), {ENCODERS[spec.encode]})',
        "    prep = make_column_transformer(",
        "        (num, NUM),",
        "        (cat, CAT),",
        *(f"        ({EXTRAS[extra.op]}, {column_list(extra.columns)})," for extra in spec.extra),
        "    )",
    ]
    if spec.drop:
        columns = column_list(spec.drop)
        lines.append(f'    drop = FunctionTransformer(pd.DataFrame.drop, kw_args={{"columns": {columns}}})')
    lines.append(f"    est = {call(spec.estimator, spec.params)}")
    lines.append(f"    return make_pipeline({'drop, ' if spec.drop else ''}prep, est)")
    return "\n".join(lines)
