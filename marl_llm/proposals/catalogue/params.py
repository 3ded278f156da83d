"""Parameters that several estimators share, and short makers for the tables beside this file."""

from __future__ import annotations

from dataclasses import replace

from marl_llm.proposals.estimator_info import Param, ParamValue


def number(
    name: str, grid: tuple[float, ...], low: float, high: float, default: float | None, *words: str
) -> Param:
    """A number in a range."""
    return Param(name, grid, default, low, high, words=words)


def count(name: str, grid: tuple[int, ...], low: int, high: int, default: int | None) -> Param:
    """A whole number in a range."""
    return Param(name, grid, default, low, high, integer=True)


def choice(name: str, grid: tuple[ParamValue, ...], default: ParamValue) -> Param:
    """One of a few values."""
    return Param(name, grid, default)


def rare(param: Param) -> Param:
    """The same parameter, outside of the core space."""
    return replace(param, common=False)


BALANCED = choice("class_weight", ("balanced", None), None)
C = number("C", (0.01, 0.1, 0.3, 1.0, 3.0, 10.0), 1e-5, 1e5, 1.0)
ALPHA = number("alpha", (0.001, 0.01, 0.1, 1.0, 10.0, 30.0), 1e-6, 1e6, 1.0)
SMALL_ALPHA = number("alpha", (1e-5, 1e-4, 1e-3, 0.01), 1e-8, 10.0, 1e-4)
NEIGHBORS = (
    count("n_neighbors", (3, 5, 10, 20, 30), 1, 500, 5),
    choice("weights", ("uniform", "distance"), "uniform"),
    rare(number("p", (1.0, 1.5, 2.0), 1.0, 10.0, 2.0)),
)
FOREST = (
    count("n_estimators", (50, 100, 200), 10, 1000, 100),
    count("max_depth", (3, 5, 10, 20), 1, 100, None),
    count("min_samples_leaf", (1, 2, 5, 10, 20), 1, 1000, 1),
)
FOREST_CLASSIFIER = (
    rare(choice("max_features", ("sqrt", "log2", None), "sqrt")),
    rare(choice("criterion", ("gini", "entropy"), "gini")),
)
FOREST_REGRESSOR = (
    rare(number("max_features", (0.2, 0.3, 0.5, 0.8), 0.01, 1.0, 1.0, "sqrt", "log2")),
    rare(choice("criterion", ("squared_error", "friedman_mse", "absolute_error"), "squared_error")),
)
HIST_BOOSTING = (
    count("max_iter", (50, 100, 200), 10, 1000, 100),
    number("learning_rate", (0.03, 0.05, 0.1, 0.3), 1e-3, 1.0, 0.1),
    count("max_leaf_nodes", (5, 10, 20, 30), 2, 512, 31),
    number("l2_regularization", (0.01, 0.1, 1.0, 10.0), 0.0, 1e4, 0.0),
)
HIST_BOOSTING_RARE = (
    rare(count("min_samples_leaf", (5, 10, 20, 50), 1, 1000, 20)),
    rare(count("max_depth", (2, 3, 5, 8), 1, 100, None)),
    rare(number("max_features", (0.3, 0.5, 0.8), 0.05, 1.0, 1.0)),
)
TREE = (
    count("max_depth", (2, 3, 5, 8, 12), 1, 100, None),
    count("min_samples_leaf", (1, 2, 5, 10, 20), 1, 1000, 1),
    number("ccp_alpha", (0.001, 0.003, 0.01), 0.0, 1.0, 0.0),
)
KERNEL = (
    choice("kernel", ("rbf", "linear", "poly", "sigmoid"), "rbf"),
    Param("gamma", (0.01, 0.03, 0.1, 0.3, 1.0), "scale", 1e-6, 1e3, words=("scale", "auto")),
)
GRADIENT_BOOSTING = (
    count("n_estimators", (50, 100, 200), 10, 1000, 100),
    number("learning_rate", (0.03, 0.05, 0.1, 0.3), 1e-3, 1.0, 0.1),
    count("max_depth", (2, 3, 4, 5), 1, 20, 3),
    number("subsample", (0.5, 0.8, 1.0), 0.1, 1.0, 1.0),
)
BAGGING = (
    count("n_estimators", (10, 20, 50), 2, 500, 10),
    number("max_samples", (0.3, 0.5, 0.8), 0.01, 1.0, None),
    number("max_features", (0.3, 0.5, 0.8), 0.01, 1.0, 1.0),
)
MLP = (
    count("hidden_layer_sizes", (20, 50, 100, 200), 1, 1000, 100),
    SMALL_ALPHA,
    number("learning_rate_init", (3e-4, 1e-3, 3e-3, 0.01), 1e-5, 1.0, 1e-3),
    count("max_iter", (100, 200, 400), 10, 2000, 200),
    choice("activation", ("relu", "tanh", "logistic"), "relu"),
)
