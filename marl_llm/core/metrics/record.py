"""One metric: all that the project knows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.rows import Sample

BINARY = frozenset({Kind.binary})
MULTICLASS = frozenset({Kind.multiclass})
CLASSIFICATION = BINARY | MULTICLASS
REGRESSION = frozenset({Kind.regression})


class Trivial(StrEnum):
    """What the trivial predictor says, learned on development labels."""

    priors = "priors"
    mean = "mean"
    median = "median"
    log_mean = "log_mean"


@dataclass(frozen=True)
class Domain:
    """Smallest target a metric is defined for, and whether it is itself allowed."""

    smallest: float
    included: bool


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name : str
        That of scikit-learn's scorer.
    kinds : frozenset of Kind
        Targets that it fits. The positive class of a binary target is class index 1.
    value : callable
        Of a `Sample`: one raw value per line of weights, shape (B,), with scikit-learn's sign
        (losses are negative) and scikit-learn's conventions for empty classes.
    of_class : callable, optional
        The same for one class against the rest, by its index: makes `name[CLASS]` a metric.
    against : Trivial, optional
        For a loss without a bound: the trivial predictor whose loss has the skill 0.
    skill : callable, optional
        From raw values to skills, where the metric has another bound than 1.
    everyday : tuple of str
        What people call it, for suggestions.
    domain : Domain, optional
        Of a regression target.
    """

    name: str
    kinds: frozenset[Kind]
    value: Callable[[Sample], np.ndarray]
    of_class: Callable[[Sample, int], np.ndarray] | None = None
    against: Trivial | None = None
    skill: Callable[[np.ndarray], np.ndarray] | None = None
    everyday: tuple[str, ...] = ()
    domain: Domain | None = None
