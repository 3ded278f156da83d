"""The other classifiers of scikit-learn that fit a table of mixed columns within a fold's
limits.
"""

from __future__ import annotations

from dataclasses import replace

from marl_llm.proposals.catalogue.params import (
    ALPHA,
    BAGGING,
    BALANCED,
    GRADIENT_BOOSTING,
    KERNEL,
    MLP,
    SMALL_ALPHA,
    TREE,
    C,
    choice,
    count,
    number,
)
from marl_llm.proposals.estimator_info import EstimatorInfo, Param

_PENALTY = choice("penalty", ("l2", "l1", "elasticnet"), "l2")
_GINI = choice("criterion", ("gini", "entropy"), "gini")


def _classifier(
    name: str, module: str, family: str, params: tuple[Param, ...], max_rows: int | None = None
) -> EstimatorInfo:
    return EstimatorInfo(name, f"sklearn.{module}", True, family, params, max_rows=max_rows)


_ENTRIES = (
    _classifier("RidgeClassifier", "linear_model", "linear", (ALPHA, BALANCED)),
    _classifier(
        "SGDClassifier",
        "linear_model",
        "linear",
        (
            choice("loss", ("hinge", "log_loss", "modified_huber"), "hinge"),
            SMALL_ALPHA,
            _PENALTY,
            BALANCED,
        ),
    ),
    _classifier(
        "Perceptron",
        "linear_model",
        "linear",
        (SMALL_ALPHA, choice("penalty", ("l2", "l1", "elasticnet", None), None), BALANCED),
    ),
    _classifier("LinearSVC", "svm", "linear", (C, BALANCED), 200_000),
    _classifier("SVC", "svm", "kernel", (C, *KERNEL, BALANCED), 10_000),
    _classifier(
        "NuSVC",
        "svm",
        "kernel",
        (number("nu", (0.1, 0.2, 0.3, 0.5), 1e-3, 1.0, 0.5), *KERNEL),
        10_000,
    ),
    _classifier(
        "LinearDiscriminantAnalysis",
        "discriminant_analysis",
        "discriminant",
        (
            choice("solver", ("svd", "lsqr", "eigen"), "svd"),
            number("shrinkage", (0.1, 0.3, 0.5), 0.0, 1.0, None, "auto"),
        ),
    ),
    _classifier(
        "QuadraticDiscriminantAnalysis",
        "discriminant_analysis",
        "discriminant",
        (number("reg_param", (0.01, 0.1, 0.3, 0.5), 0.0, 1.0, 0.0),),
    ),
    _classifier(
        "BernoulliNB",
        "naive_bayes",
        "bayes",
        (ALPHA, number("binarize", (0.0, 0.5), -1e3, 1e3, 0.0)),
    ),
    _classifier(
        "NearestCentroid",
        "neighbors",
        "neighbors",
        (number("shrink_threshold", (0.1, 0.3, 1.0), 1e-3, 1e3, None),),
    ),
    _classifier("DecisionTreeClassifier", "tree", "tree", (*TREE, _GINI, BALANCED)),
    _classifier("ExtraTreeClassifier", "tree", "tree", (*TREE, _GINI, BALANCED)),
    _classifier("GradientBoostingClassifier", "ensemble", "boosting", GRADIENT_BOOSTING, 50_000),
    _classifier(
        "AdaBoostClassifier",
        "ensemble",
        "boosting",
        (
            count("n_estimators", (50, 100, 200), 5, 1000, 50),
            number("learning_rate", (0.1, 0.3, 1.0), 1e-3, 10.0, 1.0),
        ),
    ),
    _classifier("BaggingClassifier", "ensemble", "bagging", BAGGING),
    _classifier("MLPClassifier", "neural_network", "neural", MLP, 50_000),
    _classifier(
        "GaussianProcessClassifier",
        "gaussian_process",
        "kernel",
        (count("n_restarts_optimizer", (0, 1, 2), 0, 5, 0),),
        1_000,
    ),
)

_WITHOUT_PROBABILITIES = (
    "RidgeClassifier",
    "SGDClassifier",
    "Perceptron",
    "LinearSVC",
    "SVC",
    "NuSVC",
)
_CORE = ("QuadraticDiscriminantAnalysis", "MLPClassifier")
CLASSIFIERS = tuple(
    replace(info, proba=info.name not in _WITHOUT_PROBABILITIES, core=info.name in _CORE)
    for info in _ENTRIES
)
