"""Other words that people and models use for what the catalogue names: one thing gets one name
before it is compared with what memory holds.
"""

from __future__ import annotations

from marl_llm.core.kind import Kind
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.ops import CHOICES, OPERATIONS

_METHODS = {
    synonym: method.word
    for choice in CHOICES
    for method in choice.methods
    for synonym in method.synonyms
}
_OPERATIONS = {synonym: name for name, record in OPERATIONS.items() for synonym in record.synonyms}
_SHORT = {
    "svm": ("SVC", "SVR"),
    "linear": ("LogisticRegression", "LinearRegression"),
    "logit": ("LogisticRegression",) * 2,
    "naivebayes": ("GaussianNB",) * 2,
    "knn": ("KNeighborsClassifier", "KNeighborsRegressor"),
    "lda": ("LinearDiscriminantAnalysis",) * 2,
    "qda": ("QuadraticDiscriminantAnalysis",) * 2,
    "gbm": ("GradientBoostingClassifier", "GradientBoostingRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
    "xgboost": ("XGBClassifier", "XGBRegressor"),
}
_LOWER = {name.lower(): name for name in ESTIMATORS}


def method_word(word: str) -> str:
    """The name of a way to impute, scale or encode; unknown words stay as they are."""
    plain = word.strip().lower().replace("-", "_").replace(" ", "_")
    return _METHODS.get(plain, plain)


def operation_word(word: str) -> str:
    """The name of a feature operation; unknown words stay as they are."""
    plain = word.strip().lower().replace("-", "_")
    return _OPERATIONS.get(plain, plain)


def estimator_name(name: str, kind: Kind) -> str:
    """The catalogue's name of an estimator, as it fits the kind of target; unknown names stay as
    they are.

    `random_forest` is RandomForestClassifier or RandomForestRegressor, `svm` SVC or SVR.
    """
    if name in ESTIMATORS:
        return name
    plain = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    if plain in _SHORT:
        return _SHORT[plain][0 if kind.is_classification else 1]
    ending = "classifier" if kind.is_classification else "regressor"
    return _LOWER.get(plain) or _LOWER.get(plain + ending) or name


def names_estimator(word: str) -> bool:
    """True if a word names an estimator of the catalogue, for whichever kind of target."""
    return any(estimator_name(word, kind) in ESTIMATORS for kind in (Kind.binary, Kind.regression))
