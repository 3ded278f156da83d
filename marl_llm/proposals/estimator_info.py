"""What an estimator that a proposal may name looks like: parameters with their ranges, and limits.

Plain data, no scikit-learn import; the entries are in `catalogue/`. `grid` holds round values for
undirected search; a proposal may name any value inside the range.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass

ParamValue = str | bool | int | float | None
"""A literal value of a hyperparameter, as it stands in code."""


LONGEST = 10**4000
"""Whole numbers from here on are refused wherever they come from: Python itself does not write them
down.
"""


@dataclass(frozen=True)
class Param:
    """One hyperparameter: numbers have a range (inclusive), choices a list.

    Attributes
    ----------
    name : str
        scikit-learn's parameter name.
    grid : tuple
        Round values for undirected search; for a choice, all its values.
    default : value
        What the estimator takes where nothing is set; setting it changes nothing.
    low, high : float or None
        Range of a number; None for a choice.
    integer : bool
        Whole numbers only.
    words : tuple of str
        Words that a number may be instead, e.g. "scale".
    common : bool
        Drawn by the scripted Data Scientist in its core space.
    """

    name: str
    grid: tuple[ParamValue, ...]
    default: ParamValue = None
    low: float | None = None
    high: float | None = None
    integer: bool = False
    words: tuple[str, ...] = ()
    common: bool = True

    def problem(self, value: ParamValue) -> str:
        """Say why `value` is not allowed here, or "" when it is."""
        if self.low is None or self.high is None:
            return (
                ""
                if value in self.grid
                else f"{self.name} takes one of {', '.join(map(str, self.grid))}"
            )
        if value in self.words or (value is None and self.default is None):
            return ""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return " or ".join((f"{self.name} takes a number{self._range}", *self.words))
        if self.integer and not isinstance(value, int):
            return f"{self.name} takes a whole number{self._range}"
        return "" if self.low <= value <= self.high else f"{self.name} lies{self._range}"

    @property
    def _range(self) -> str:
        return f" between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class EstimatorInfo:
    """One estimator.

    Attributes
    ----------
    name, module : str
        Class and the module it is imported from, e.g. "sklearn.svm".
    classifier : bool
    family : str
        Estimators of one family fit much the same functions.
    params : tuple of Param
        In the order in which they are written.
    fixed : tuple of (name, value)
        Always written in code: what keeps a library quiet and in one thread.
    max_rows : int or None
        Most development rows; beyond it the fit does not end within a fold's limits.
    proba : bool
        It has `predict_proba` whatever its parameters.
    core : bool
        Part of the small space that the embedded model and the scripted pair know.
    """

    name: str
    module: str
    classifier: bool
    family: str
    params: tuple[Param, ...]
    fixed: tuple[tuple[str, ParamValue], ...] = ()
    max_rows: int | None = None
    proba: bool = True
    core: bool = False

    def param(self, name: str) -> Param | None:
        """The parameter of that name, or None."""
        return next((p for p in self.params if p.name == name), None)

    @property
    def available(self) -> bool:
        """True if its package is installed."""
        return _installed(self.module.split(".")[0])


@functools.cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
