"""The other regressors of scikit-learn that fit a table of mixed columns within a fold's limits."""

from __future__ import annotations

from dataclasses import replace

from marl_llm.proposals.catalogue.params import (
    ALPHA,
    BAGGING,
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

_EPSILON = number("epsilon", (0.01, 0.05, 0.1, 0.3), 0.0, 1e6, 0.1)
_ITERATIONS = count("max_iter", (100, 300), 10, 5000, 100)
_SQUARED = choice("criterion", ("squared_error", "friedman_mse", "absolute_error"), "squared_error")


def _regressor(
    name: str, module: str, family: str, params: tuple[Param, ...], max_rows: int | None = None
) -> EstimatorInfo:
    return EstimatorInfo(name, f"sklearn.{module}", False, family, params, max_rows=max_rows)


_ENTRIES = (
    _regressor(
        "LinearRegression", "linear_model", "linear", (choice("positive", (False, True), False),)
    ),
    _regressor("Lasso", "linear_model", "sparse_linear", (ALPHA,)),
    _regressor("LassoLars", "linear_model", "sparse_linear", (ALPHA,)),
    _regressor(
        "OrthogonalMatchingPursuit",
        "linear_model",
        "sparse_linear",
        (count("n_nonzero_coefs", (2, 5, 10, 20), 1, 1000, None),),
    ),
    _regressor(
        "BayesianRidge",
        "linear_model",
        "linear",
        (
            number("alpha_1", (1e-6, 1e-4, 1e-2), 0.0, 1e3, 1e-6),
            number("lambda_1", (1e-6, 1e-4, 1e-2), 0.0, 1e3, 1e-6),
        ),
    ),
    _regressor(
        "ARDRegression",
        "linear_model",
        "sparse_linear",
        (number("threshold_lambda", (100.0, 1e4, 1e6), 1.0, 1e9, 1e4),),
        20_000,
    ),
    _regressor(
        "HuberRegressor",
        "linear_model",
        "robust",
        (
            number("epsilon", (1.1, 1.35, 2.0), 1.0, 100.0, 1.35),
            SMALL_ALPHA,
            count("max_iter", (100, 300, 1000), 10, 5000, 100),
        ),
    ),
    _regressor(
        "QuantileRegressor",
        "linear_model",
        "robust",
        (number("quantile", (0.4, 0.5, 0.6), 0.01, 0.99, 0.5), ALPHA),
        10_000,
    ),
    _regressor("PoissonRegressor", "linear_model", "generalized", (ALPHA, _ITERATIONS)),
    _regressor("GammaRegressor", "linear_model", "generalized", (ALPHA, _ITERATIONS)),
    _regressor(
        "TweedieRegressor",
        "linear_model",
        "generalized",
        (
            choice("power", (0, 1, 1.5, 2), 0),
            ALPHA,
            choice("link", ("auto", "identity", "log"), "auto"),
            _ITERATIONS,
        ),
    ),
    _regressor(
        "SGDRegressor",
        "linear_model",
        "linear",
        (
            choice("loss", ("squared_error", "huber", "epsilon_insensitive"), "squared_error"),
            SMALL_ALPHA,
            choice("penalty", ("l2", "l1", "elasticnet"), "l2"),
        ),
    ),
    _regressor(
        "LinearSVR",
        "svm",
        "linear",
        (C, number("epsilon", (0.0, 0.1, 0.3, 1.0), 0.0, 1e6, 0.0)),
        200_000,
    ),
    _regressor("SVR", "svm", "kernel", (C, _EPSILON, *KERNEL), 10_000),
    _regressor(
        "NuSVR",
        "svm",
        "kernel",
        (C, number("nu", (0.2, 0.5, 0.8), 1e-3, 1.0, 0.5), *KERNEL),
        10_000,
    ),
    _regressor("DecisionTreeRegressor", "tree", "tree", (*TREE, _SQUARED)),
    _regressor("ExtraTreeRegressor", "tree", "tree", (*TREE, _SQUARED)),
    _regressor("GradientBoostingRegressor", "ensemble", "boosting", GRADIENT_BOOSTING, 50_000),
    _regressor(
        "AdaBoostRegressor",
        "ensemble",
        "boosting",
        (
            count("n_estimators", (50, 100, 200), 5, 1000, 50),
            number("learning_rate", (0.1, 0.3, 1.0), 1e-3, 10.0, 1.0),
            choice("loss", ("linear", "square", "exponential"), "linear"),
        ),
    ),
    _regressor("BaggingRegressor", "ensemble", "bagging", BAGGING),
    _regressor("MLPRegressor", "neural_network", "neural", MLP, 50_000),
    _regressor(
        "GaussianProcessRegressor",
        "gaussian_process",
        "kernel",
        (
            number("alpha", (1e-4, 0.01, 0.1), 1e-12, 1e3, 1e-10),
            choice("normalize_y", (False, True), False),
        ),
        2_000,
    ),
    _regressor(
        "KernelRidge",
        "kernel_ridge",
        "kernel",
        (
            ALPHA,
            choice("kernel", ("linear", "rbf", "laplacian", "polynomial"), "linear"),
            number("gamma", (0.01, 0.03, 0.1, 0.3), 1e-6, 1e3, None),
        ),
        10_000,
    ),
    _regressor(
        "PLSRegression",
        "cross_decomposition",
        "linear",
        (count("n_components", (1, 2, 3, 5), 1, 100, 2),),
    ),
)

_CORE = ("SVR", "MLPRegressor")
REGRESSORS = tuple(replace(info, core=info.name in _CORE) for info in _ENTRIES)
