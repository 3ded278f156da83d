"""Other words that people and models use for what the catalogue names: one thing gets one name before it is compared
with what memory holds.
"""

from __future__ import annotations

from marl_llm.core.kind import Kind
from marl_llm.proposals.estimators import ESTIMATORS

_WORDS = {
    "standardize": "standard", "standardise": "standard", "zscore": "standard", "min_max": "minmax",
    "normalize": "minmax", "yeo_johnson": "power", "yeojohnson": "power", "gaussian": "quantile", "rank": "quantile",
    "onehot": "one_hot", "ohe": "one_hot", "dummy": "one_hot", "dummies": "one_hot", "label": "ordinal",
    "target_encoding": "target", "mean_encoding": "target", "average": "mean",
}  # fmt: skip
_OPERATIONS = {
    "poly": "polynomial", "interactions": "polynomial", "log1p": "log", "indicator": "missing",
    "missing_indicator": "missing", "bins": "bin", "discretize": "bin", "date_parts": "dates", "date": "dates",
    "diff": "difference", "tf_idf": "tfidf", "group_stats": "group_mean", "select_k_best": "select", "remove": "drop",
}  # fmt: skip
_SHORT = {
    "svm": ("SVC", "SVR"), "linear": ("LogisticRegression", "LinearRegression"), "logit": ("LogisticRegression",) * 2,
    "naivebayes": ("GaussianNB",) * 2, "knn": ("KNeighborsClassifier", "KNeighborsRegressor"),
    "lda": ("LinearDiscriminantAnalysis",) * 2, "qda": ("QuadraticDiscriminantAnalysis",) * 2,
    "gbm": ("GradientBoostingClassifier", "GradientBoostingRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"), "xgboost": ("XGBClassifier", "XGBRegressor"),
}  # fmt: skip
_LOWER = {name.lower(): name for name in ESTIMATORS}


def method_word(word: str) -> str:
    """The name of a way to impute, scale or encode; unknown words stay as they are."""
    plain = word.strip().lower().replace("-", "_").replace(" ", "_")
    return _WORDS.get(plain, plain)


def operation_word(word: str) -> str:
    """The name of a feature operation; unknown words stay as they are."""
    plain = word.strip().lower().replace("-", "_")
    return _OPERATIONS.get(plain, plain)


def estimator_name(name: str, kind: Kind) -> str:
    """The catalogue's name of an estimator, as it fits the kind of target; unknown names stay as they are.

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
