"""The catalogue of estimators that a proposal may name: which kind of target each fits, which parameters it takes,
and their ranges.

Plain data, no scikit-learn import. `grid` holds the round values that the scripted Data Scientist draws from; a
proposal may name any value inside the range.
"""

from __future__ import annotations

from dataclasses import dataclass

from marl_llm.kind import Kind

ParamValue = str | int | float | None
"""A literal value of a hyperparameter, as it stands in code."""


@dataclass(frozen=True)
class Param:
    """One hyperparameter: numbers have a range (inclusive), choices a list.

    Attributes
    ----------
    name : str
        scikit-learn's parameter name.
    grid : tuple
        Round values for undirected search; for a choice, all its values.
    low, high : float or None
        Range of a number; None for a choice.
    integer : bool
        Whole numbers only.
    """

    name: str
    grid: tuple[ParamValue, ...]
    low: float | None = None
    high: float | None = None
    integer: bool = False

    def problem(self, value: ParamValue) -> str:
        """Say why `value` is not allowed here, or "" when it is."""
        if self.low is None or self.high is None:
            return "" if value in self.grid else f"{self.name} takes one of {', '.join(map(str, self.grid))}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{self.name} takes a number"
        if self.integer and not isinstance(value, int):
            return f"{self.name} takes a whole number"
        return "" if self.low <= value <= self.high else f"{self.name} lies between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class EstimatorInfo:
    """One estimator: scikit-learn class name, its module, whether it classifies, a family name and its parameters."""

    name: str
    module: str
    classifier: bool
    family: str
    params: tuple[Param, ...]

    def param(self, name: str) -> Param | None:
        """The parameter of that name, or None."""
        return next((p for p in self.params if p.name == name), None)


def _number(name: str, grid: tuple[float, ...], low: float, high: float) -> Param:
    return Param(name, grid, low, high)


def _count(name: str, grid: tuple[int, ...], low: int, high: int) -> Param:
    return Param(name, grid, low, high, integer=True)


_BALANCED = Param("class_weight", ("balanced", None))
_C = _number("C", (0.01, 0.1, 0.3, 1.0, 3.0, 10.0), 1e-5, 1e5)
_ALPHA = _number("alpha", (0.001, 0.01, 0.1, 1.0, 10.0, 30.0), 1e-6, 1e6)
_NEIGHBORS = (_count("n_neighbors", (3, 5, 10, 20, 30), 1, 500), Param("weights", ("uniform", "distance")))
_FOREST = (
    _count("n_estimators", (50, 100, 200), 10, 1000),
    _count("max_depth", (3, 5, 10, 20), 1, 100),
    _count("min_samples_leaf", (1, 2, 5, 10, 20), 1, 1000),
)
_BOOSTING = (
    _count("max_iter", (50, 100, 200), 10, 1000),
    _number("learning_rate", (0.03, 0.05, 0.1, 0.3), 1e-3, 1.0),
    _count("max_leaf_nodes", (5, 10, 20, 30), 2, 512),
    _number("l2_regularization", (0.01, 0.1, 1.0, 10.0), 0.0, 1e4),
)

_CATALOGUE = (
    EstimatorInfo(
        "LogisticRegression", "linear_model", True, "linear", (_C, _BALANCED, _count("max_iter", (300, 1000), 50, 5000))
    ),
    EstimatorInfo(
        "GaussianNB", "naive_bayes", True, "bayes", (_number("var_smoothing", (0.001, 0.01, 0.1), 1e-12, 1.0),)
    ),
    EstimatorInfo("KNeighborsClassifier", "neighbors", True, "neighbors", _NEIGHBORS),
    EstimatorInfo("RandomForestClassifier", "ensemble", True, "forest", (*_FOREST, _BALANCED)),
    EstimatorInfo("ExtraTreesClassifier", "ensemble", True, "extra_trees", (*_FOREST, _BALANCED)),
    EstimatorInfo("HistGradientBoostingClassifier", "ensemble", True, "boosting", (*_BOOSTING, _BALANCED)),
    EstimatorInfo("Ridge", "linear_model", False, "linear", (_ALPHA,)),
    EstimatorInfo(
        "ElasticNet", "linear_model", False, "sparse_linear", (_ALPHA, _number("l1_ratio", (0.1, 0.5, 0.9), 0.0, 1.0))
    ),
    EstimatorInfo("KNeighborsRegressor", "neighbors", False, "neighbors", _NEIGHBORS),
    EstimatorInfo("RandomForestRegressor", "ensemble", False, "forest", _FOREST),
    EstimatorInfo("ExtraTreesRegressor", "ensemble", False, "extra_trees", _FOREST),
    EstimatorInfo("HistGradientBoostingRegressor", "ensemble", False, "boosting", _BOOSTING),
)

ESTIMATORS: dict[str, EstimatorInfo] = {info.name: info for info in _CATALOGUE}


def estimators_for(kind: Kind) -> tuple[EstimatorInfo, ...]:
    """The estimators that fit a kind of target, in catalogue order."""
    return tuple(info for info in _CATALOGUE if info.classifier == kind.is_classification)
