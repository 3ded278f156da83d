"""The prelude of generated code: the imports and the few names it stands on, part of every delivered solution.

scikit-learn clones transformers when it fits, so the shared constants are safe. The names that begin the file are what
the Engineer may use; own transformers are embedded by their source, from `transformers.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from marl_llm.proposals.estimators import ESTIMATORS

_ENSEMBLES = ("VotingClassifier", "VotingRegressor", "StackingClassifier", "StackingRegressor")
_BLENDS = ("BlendClassifier", "BlendRegressor")
_BLEND_IMPORT = "from sklearn.base import ClassifierMixin, RegressorMixin, clone\n"
_MARK = "# ---- the prelude embeds what follows ----\n"
_IMPORTS = """\
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer, KBinsDiscretizer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, PolynomialFeatures,
    PowerTransformer, QuantileTransformer, RobustScaler, StandardScaler, TargetEncoder,
)
"""
CONSTANTS = """\
NUM = make_column_selector(dtype_include="number")
CAT = make_column_selector(pattern="^(?!t[0-9])", dtype_exclude="number")
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
TARGET = TargetEncoder(random_state=0)
TARGET_NUM = TargetEncoder(target_type="continuous", random_state=0)
QUANTILE = QuantileTransformer(n_quantiles=50, output_distribution="normal")
LOG = make_pipeline(SimpleImputer(), FunctionTransformer(signed_log), StandardScaler())
POLY = make_pipeline(SimpleImputer(), PolynomialFeatures(degree=2, include_bias=False), StandardScaler())
MISSING = MissingIndicator(features="all")
BINS = make_pipeline(
    SimpleImputer(), KBinsDiscretizer(n_bins=5, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
)
RATIO = make_pipeline(SimpleImputer(), FunctionTransformer(ratio), StandardScaler())
DIFF = make_pipeline(SimpleImputer(), FunctionTransformer(difference), StandardScaler())
DATES = make_pipeline(SimpleImputer(), FunctionTransformer(date_parts), StandardScaler())
TFIDF = make_pipeline(FunctionTransformer(fill_text), TfidfVectorizer(max_features=100), FunctionTransformer(dense))
GROUP_MEAN = make_pipeline(GroupMean(), StandardScaler())
"""


def _estimator_imports(names: Iterable[str]) -> str:
    modules: dict[str, set[str]] = {"sklearn.ensemble": set(_ENSEMBLES)}
    for name in names:
        info = ESTIMATORS[name]
        modules.setdefault(info.module, set()).add(name)
    lines = (f"from {module} import {', '.join(sorted(modules[module]))}" for module in sorted(modules))
    return "".join(f"{_wrapped(line)}\n" for line in lines)


def _wrapped(line: str) -> str:
    """An import line of at most 120 characters, or in brackets."""
    if len(line) <= 120:
        return line
    head, names = line.split(" import ")
    rows = [""]
    for name in names.split(", "):
        if len(rows[-1]) + len(name) > 112:
            rows.append("")
        rows[-1] += f"{name}, "
    return "\n".join([f"{head} import (", *(f"    {row.rstrip()}" for row in rows), ")"])


def _own_source(file: str) -> str:
    """The text of a file beside this one, read and not imported: importing scikit-learn takes a second."""
    return Path(__file__).with_name(file).read_text(encoding="utf-8").split(_MARK)[1].strip("\n")


def _in_sklearn() -> list[str]:
    return [name for name, info in ESTIMATORS.items() if info.module.startswith("sklearn.")]


@functools.cache
def _prelude(others: tuple[str, ...], blends: bool = False) -> str:
    imports = (_BLEND_IMPORT if blends else "") + _estimator_imports([*_in_sklearn(), *others])
    blending = _own_source("blending.py") + "\n\n\n" if blends else ""
    return f"{_IMPORTS}{imports}\n\n{_own_source('transformers.py')}\n\n\n{blending}{CONSTANTS}"


def prelude_for(code: str) -> str:
    """The prelude of one candidate: what not every solution needs, libraries besides scikit-learn and the blends, only
    where the code names it.
    """
    words = set(re.findall(r"\w+", code))
    others = (n for n, info in ESTIMATORS.items() if n in words and not info.module.startswith("sklearn."))
    return _prelude(tuple(n for n in others if ESTIMATORS[n].available), not words.isdisjoint(_BLENDS))


PRELUDE = _prelude(())
"""The prelude without other libraries than scikit-learn."""
