"""What we use of sklearn.compose."""

from typing import Self

from _typeshed import Incomplete
from sklearn.base import BaseEstimator, TransformerMixin

class ColumnTransformer(TransformerMixin, BaseEstimator):
    def fit(self, X: object, y: object = None) -> Self: ...
    def transform(self, X: object) -> Incomplete: ...
    def fit_transform(self, X: object, y: object = None) -> Incomplete: ...

class make_column_selector:
    def __init__(
        self,
        pattern: str | None = None,
        *,
        dtype_include: object = None,
        dtype_exclude: object = None,
    ) -> None: ...
    def __call__(self, df: object) -> list[str]: ...

def make_column_transformer(
    *transformers: tuple[BaseEstimator | str, object], **params: object
) -> ColumnTransformer: ...
def __getattr__(name: str) -> Incomplete: ...
