"""What we use of sklearn.model_selection."""

from _typeshed import Incomplete
from sklearn.base import BaseEstimator, ClassifierMixin

class TunedThresholdClassifierCV(ClassifierMixin, BaseEstimator):
    def __init__(self, estimator: BaseEstimator | None = None, **params: object) -> None: ...

def __getattr__(name: str) -> Incomplete: ...
