"""`bin`: five quantile bins per column, one-hot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marl_llm.proposals.ops.feature import Feature, Takes

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

_CODE = (
    "make_pipeline(\n"
    '    SimpleImputer(), KBinsDiscretizer(n_bins=5, encode="onehot-dense", '
    'quantile_method="averaged_inverted_cdf")\n'
    ")"
)


def _build() -> BaseEstimator:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer

    method = "averaged_inverted_cdf"
    bins = KBinsDiscretizer(n_bins=5, encode="onehot-dense", quantile_method=method)
    return make_pipeline(SimpleImputer(), bins)


BIN = Feature(
    name="bin",
    meaning="five quantile bins",
    takes=Takes(),
    constant="BINS",
    code=_CODE,
    build=_build,
    imports={"sklearn.preprocessing": ("KBinsDiscretizer",)},
    synonyms=("bins", "discretize"),
    columnwise=True,
)
