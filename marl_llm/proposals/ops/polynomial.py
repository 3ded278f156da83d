"""`polynomial`: squares and products of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marl_llm.proposals.ops.feature import Feature, Takes, scaled, scaled_code

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def _build() -> BaseEstimator:
    from sklearn.preprocessing import PolynomialFeatures

    return scaled(PolynomialFeatures(degree=2, include_bias=False))


POLYNOMIAL = Feature(
    name="polynomial",
    meaning="squares and products",
    takes=Takes(2, 8),
    constant="POLY",
    code=scaled_code("PolynomialFeatures(degree=2, include_bias=False)"),
    build=_build,
    imports={"sklearn.preprocessing": ("PolynomialFeatures",)},
    synonyms=("poly", "interactions"),
)
