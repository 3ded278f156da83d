"""`tfidf`: the words of a text, weighted."""

# pyright: basic
# Functions that are embedded in generated code carry no annotations: agents read that code.

from __future__ import annotations

from typing import TYPE_CHECKING

from marl_llm.proposals.ops.feature import Feature, Takes, source_of

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def fill_text(column):
    """Missing text as empty text."""
    return column.fillna("")


def dense(X):
    """A sparse matrix as an array."""
    return X.toarray()


_STEPS = (
    "FunctionTransformer(fill_text)",
    "TfidfVectorizer(max_features=100)",
    "FunctionTransformer(dense)",
)


def _build() -> BaseEstimator:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    words = TfidfVectorizer(max_features=100)
    return make_pipeline(FunctionTransformer(fill_text), words, FunctionTransformer(dense))


TFIDF = Feature(
    name="tfidf",
    meaning="words of a text",
    takes=Takes(1, 1, ("text",)),
    constant="TFIDF",
    code=f"make_pipeline({', '.join(_STEPS)})",
    build=_build,
    imports={"sklearn.feature_extraction.text": ("TfidfVectorizer",)},
    own=source_of(fill_text, dense),
    synonyms=("tf_idf",),
    series=True,
)
