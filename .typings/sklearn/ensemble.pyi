"""What we use of sklearn.ensemble."""

from collections.abc import Sequence

from _typeshed import Incomplete
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

_Members = Sequence[tuple[str, BaseEstimator]]

class VotingClassifier(ClassifierMixin, BaseEstimator):
    def __init__(self, estimators: _Members, **params: object) -> None: ...

class VotingRegressor(RegressorMixin, BaseEstimator):
    def __init__(self, estimators: _Members, **params: object) -> None: ...

class StackingClassifier(ClassifierMixin, BaseEstimator):
    def __init__(
        self, estimators: _Members, final_estimator: BaseEstimator | None = None, **params: object
    ) -> None: ...

class StackingRegressor(RegressorMixin, BaseEstimator):
    def __init__(
        self, estimators: _Members, final_estimator: BaseEstimator | None = None, **params: object
    ) -> None: ...

def __getattr__(name: str) -> Incomplete: ...
