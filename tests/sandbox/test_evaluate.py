"""Honest candidates: what an evaluation returns, and that it is what fitting in this process would
have given.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from marl_llm.sandbox import Fold, Sandbox, Stage, Status
from tests.sandbox.support import HONEST, fit_here, mixed_frame, prepare, same, splits

IMPORTS = """
import numpy as np, pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (BaggingClassifier, ExtraTreesClassifier, GradientBoostingRegressor,
    HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier, VotingClassifier)
from sklearn.feature_selection import SelectKBest
from sklearn.experimental import enable_iterative_imputer
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
"""
COLUMNS = """
columns = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include=float)),
    (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=object)),
)
ordinal = make_column_transformer(
    (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
     make_column_selector(dtype_include=object)),
    remainder="passthrough",
)
"""


def returning(expression: str) -> str:
    """A candidate that builds one expression."""
    return f"{IMPORTS}{COLUMNS}\ndef build_pipeline():\n    return {expression}\n"


CLASSIFIERS = [
    "make_pipeline(columns, LogisticRegression())",
    "make_pipeline(columns, RandomForestClassifier(20, n_jobs=-1))",
    "make_pipeline(ordinal, HistGradientBoostingClassifier(max_iter=10))",
    "make_pipeline(columns, SVC())",
    "make_pipeline(columns, RidgeClassifier())",
    "make_pipeline(columns, MLPClassifier((8,), max_iter=20))",
    "make_pipeline(columns, SGDClassifier(loss='log_loss'))",
]
REGRESSORS = [
    "make_pipeline(columns, Ridge())",
    "make_pipeline(ordinal, HistGradientBoostingRegressor(max_iter=10, early_stopping=True))",
    "make_pipeline(columns, RandomForestRegressor(20, n_jobs=-1))",
    "make_pipeline(columns, SVR())",
]
OTHERS = [
    "GridSearchCV(LogisticRegression(), {'C': [.1, 1]}, n_jobs=-1, cv=3)",
    "CalibratedClassifierCV(LinearSVC(), cv=3)",
    "KNeighborsClassifier(5, n_jobs=2)",
    "make_pipeline(IterativeImputer(max_iter=2), SelectKBest(k=2), GaussianNB())",
    "StackingClassifier([('a', GaussianNB()), ('b', ExtraTreesClassifier(10))], n_jobs=2, cv=3)",
    "VotingClassifier([('a', GaussianNB()), ('b', LogisticRegression())], voting='soft', n_jobs=2)",
    "make_pipeline(PCA(2), QuadraticDiscriminantAnalysis())",
    "make_pipeline(FunctionTransformer(lambda d: d.assign(z=d['x0'] / d['x1'])), "
    "BaggingClassifier(n_jobs=-1))",
]


@pytest.fixture(scope="module")
def mixed() -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = mixed_frame(160)
    return frame.iloc[:120], frame.iloc[120:]


@pytest.mark.parametrize("expression", CLASSIFIERS)
def test_classifier_predicts_bit_for_bit_as_in_this_process(
    expression: str, sandbox: Sandbox, mixed: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    train, valid = mixed
    labels = np.random.default_rng(1).integers(0, 3, len(train))
    fold = Fold.prepare(train, labels, valid, n_classes=3, seed=0)
    evaluation = sandbox.evaluate(returning(expression), [fold], seed=7)
    assert evaluation.status is Status.ok, evaluation.error
    expected = fit_here(returning(expression), fold, train, labels, valid, seed=7)
    (predictions,) = evaluation.predictions
    assert np.array_equal(predictions.labels, expected.labels)
    assert predictions.proba is not None
    if expected.proba is None:
        assert np.array_equal(predictions.proba, np.eye(3)[expected.labels])
    else:
        assert np.array_equal(predictions.proba, expected.proba)


@pytest.mark.parametrize("expression", REGRESSORS)
def test_regressor_predicts_bit_for_bit_as_in_this_process(
    expression: str, sandbox: Sandbox, mixed: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    train, valid = mixed
    target = np.random.default_rng(1).normal(size=len(train))
    fold = Fold.prepare(train, target, valid, n_classes=None, seed=0)
    evaluation = sandbox.evaluate(returning(expression), [fold], seed=7)
    assert evaluation.status is Status.ok, evaluation.error
    (predictions,) = evaluation.predictions
    assert predictions.proba is None
    assert predictions.labels.dtype == np.float64
    assert np.array_equal(
        predictions.labels, fit_here(returning(expression), fold, train, target, valid, 7).labels
    )


@pytest.mark.parametrize("expression", OTHERS)
def test_honest_habits_are_not_hurt(expression: str, sandbox: Sandbox) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 4)), columns=[f"x{i}" for i in range(4)])
    folds = prepare(frame, (frame["x0"] + frame["x1"] > 0).to_numpy(np.int64), 2)
    evaluation = sandbox.evaluate(returning(expression), folds)
    assert evaluation.status is Status.ok, evaluation.error


def test_candidate_sees_the_columns_in_order_and_with_their_types(sandbox: Sandbox) -> None:
    frame = mixed_frame()
    code = """
def build_pipeline():
    raise RuntimeError("unreachable" if not hasattr(Spy, "fit") else "")
class Spy:
    def fit(self, X, y):
        types = " ".join(f"{name}:{kind}" for name, kind in X.dtypes.items())
        raise RuntimeError(types + f" y:{y.dtype} {X.shape}")
def build_pipeline():
    return Spy()
"""
    fold = Fold.prepare(frame, np.zeros(len(frame)), frame, n_classes=None, seed=0)
    evaluation = sandbox.evaluate(code, [fold])
    expected = "x0:float64 x1:object x2:float64 x3:object x4:float64 y:float64 (120, 5)"
    assert evaluation.error == f"RuntimeError: {expected} (line 7)"


def test_predictions_come_back_in_the_order_of_the_validation_rows(sandbox: Sandbox) -> None:
    frame = pd.DataFrame({"x0": np.arange(50.0)})
    code = """
class Echo:
    def fit(self, X, y):
        pass
    def predict(self, X):
        return X["x0"]
def build_pipeline():
    return Echo()
"""
    fold = Fold.prepare(frame, np.zeros(50), frame, n_classes=None, seed=0)
    evaluation = sandbox.evaluate(code, [fold])
    assert evaluation.predictions[0].labels.tolist() == list(range(50))


def test_a_class_that_a_fold_lacks_gets_probability_zero(sandbox: Sandbox) -> None:
    frame = pd.DataFrame({"x0": np.arange(30.0)})
    fold = Fold.prepare(
        frame, np.arange(30) % 2 * 2, frame, n_classes=4, seed=0
    )  # classes 0 and 2 of 0..3
    (predictions,) = sandbox.evaluate(HONEST, [fold]).predictions
    assert predictions.proba is not None
    assert predictions.proba.shape == (30, 4)
    assert (predictions.proba[:, [1, 3]] == 0).all()
    assert set(predictions.labels) <= {0, 2}


def test_folds_give_one_prediction_each_and_a_description(
    sandbox: Sandbox, cancer: tuple[pd.DataFrame, np.ndarray], cancer_folds: list[Fold]
) -> None:
    evaluation = sandbox.evaluate(HONEST, cancer_folds)
    assert (evaluation.status, evaluation.stage, evaluation.error) == (
        Status.ok,
        Stage.predicted,
        "",
    )
    assert evaluation.isolation == sandbox.level == "bubblewrap"
    assert [len(p) for p in evaluation.predictions] == [
        len(valid) for _, valid in splits(cancer[1])
    ]
    assert evaluation.description is not None
    assert evaluation.description["class"] == "Pipeline"
    parameters = evaluation.description["params"]
    assert parameters["logisticregression__C"] == "1.0"
    assert parameters["logisticregression"] == "LogisticRegression(...)"
    assert parameters["steps"].startswith("[['standardscaler', StandardScaler(...)], ")
    assert evaluation.seconds > 0
    assert evaluation.cpu_seconds > 0


def test_seed_decides_what_random_estimators_do(sandbox: Sandbox, cancer_folds: list[Fold]) -> None:
    code = (
        "from sklearn.ensemble import ExtraTreesClassifier\ndef build_pipeline(): return "
        "ExtraTreesClassifier(5)"
    )
    first, again, other = (
        sandbox.evaluate(code, cancer_folds[:1], seed=seed).predictions for seed in (1, 1, 2)
    )
    assert same(first, again)
    assert not same(first, other)


def test_prelude_runs_first_and_does_not_shift_line_numbers(
    sandbox: Sandbox, cancer_folds: list[Fold]
) -> None:
    prelude = "from sklearn.naive_bayes import GaussianNB\n\n\n"
    good = sandbox.evaluate(
        "def build_pipeline(): return GaussianNB()", cancer_folds[:1], prelude=prelude
    )
    assert good.status is Status.ok
    bad = sandbox.evaluate("x = 1\nGaussianNB(wrong=1)", cancer_folds[:1], prelude=prelude)
    assert bad.error.endswith("(line 2)")


def test_code_can_define_classes_that_scikit_learn_clones(
    sandbox: Sandbox, cancer_folds: list[Fold]
) -> None:
    code = """
from __future__ import annotations
from dataclasses import dataclass
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

@dataclass
class Setting:
    scale: float = 0.01

class Scale(TransformerMixin, BaseEstimator):
    def __init__(self, setting=Setting()):
        self.setting = setting
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return X * self.setting.scale

def build_pipeline():
    return BaggingClassifier(make_pipeline(Scale(), LogisticRegression()), n_estimators=3)
"""
    evaluation = sandbox.evaluate(code, cancer_folds[:1])
    assert evaluation.status is Status.ok, evaluation.error
