"""The small space: the estimators that the embedded model and the scripted pair know by default."""

from __future__ import annotations

from dataclasses import replace

from marl_llm.proposals.catalogue.params import (
    ALPHA,
    BALANCED,
    FOREST,
    FOREST_CLASSIFIER,
    FOREST_REGRESSOR,
    HIST_BOOSTING,
    HIST_BOOSTING_RARE,
    NEIGHBORS,
    C,
    count,
    number,
)
from marl_llm.proposals.estimator_info import EstimatorInfo

_ENTRIES = (
    EstimatorInfo(
        "LogisticRegression",
        "sklearn.linear_model",
        True,
        "linear",
        (C, BALANCED, count("max_iter", (300, 1000), 50, 5000, 100)),
    ),
    EstimatorInfo(
        "GaussianNB",
        "sklearn.naive_bayes",
        True,
        "bayes",
        (number("var_smoothing", (0.001, 0.01, 0.1), 1e-12, 1.0, 1e-9),),
    ),
    EstimatorInfo("KNeighborsClassifier", "sklearn.neighbors", True, "neighbors", NEIGHBORS),
    EstimatorInfo(
        "RandomForestClassifier",
        "sklearn.ensemble",
        True,
        "forest",
        (*FOREST, BALANCED, *FOREST_CLASSIFIER),
    ),
    EstimatorInfo(
        "ExtraTreesClassifier",
        "sklearn.ensemble",
        True,
        "extra_trees",
        (*FOREST, BALANCED, *FOREST_CLASSIFIER),
    ),
    EstimatorInfo(
        "HistGradientBoostingClassifier",
        "sklearn.ensemble",
        True,
        "boosting",
        (*HIST_BOOSTING, BALANCED, *HIST_BOOSTING_RARE),
    ),
    EstimatorInfo("Ridge", "sklearn.linear_model", False, "linear", (ALPHA,)),
    EstimatorInfo(
        "ElasticNet",
        "sklearn.linear_model",
        False,
        "sparse_linear",
        (ALPHA, number("l1_ratio", (0.1, 0.5, 0.9), 0.0, 1.0, 0.5)),
    ),
    EstimatorInfo("KNeighborsRegressor", "sklearn.neighbors", False, "neighbors", NEIGHBORS),
    EstimatorInfo(
        "RandomForestRegressor", "sklearn.ensemble", False, "forest", (*FOREST, *FOREST_REGRESSOR)
    ),
    EstimatorInfo(
        "ExtraTreesRegressor",
        "sklearn.ensemble",
        False,
        "extra_trees",
        (*FOREST, *FOREST_REGRESSOR),
    ),
    EstimatorInfo(
        "HistGradientBoostingRegressor",
        "sklearn.ensemble",
        False,
        "boosting",
        (*HIST_BOOSTING, *HIST_BOOSTING_RARE),
    ),
)

CORE = tuple(replace(info, core=True) for info in _ENTRIES)
