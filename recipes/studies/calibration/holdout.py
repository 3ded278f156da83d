"""Two models that predict the same hold-out rows, for the paired bootstrap.

A row has hidden scores (log-odds, or the mean of a number); a model sees them through noise of its
own, so both share the luck of the labels and differ in their errors. `unlike` models also differ in
kind: the one after is overconfident (its log-odds are multiplied), or errs with heavier tails, and
is as good because it sees more. Then the distribution of the gain is skewed, which is what fools a
percentile bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from calibration.setting import Goal, population
from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import default_metrics
from marl_llm.core.predictions import Predictions
from marl_llm.metrics.significance import Comparison, paired_bootstrap

_BEFORE = 1.0  # noise of the model before, in units of half the spread of what it sees
_LOG2_ROWS = 18
Pair = tuple[np.ndarray, Predictions, Predictions]


@dataclass(frozen=True)
class HoldoutSetting:
    """Comparisons on n hold-out rows.

    Attributes
    ----------
    name : str
    goal : Goal
    draw : callable
        (uniform numbers (n, n_dimensions), noise of the model after) -> targets and predictions
        before and after.
    n_dimensions : int
    n_classes : int
        0 for regression.
    exchangeable : bool
        Models of equal noise are equally good, by symmetry.
    powered : bool
        Its power is measured too.
    swapped : bool
        Before and after change places.
    resamples : int
        Of each bootstrap.
    """

    name: str
    goal: Goal
    draw: Callable[[np.ndarray, float], Pair]
    n_dimensions: int
    n_classes: int
    exchangeable: bool = True
    powered: bool = False
    swapped: bool = False
    resamples: int = 500
    test: str = "paired bootstrap"

    def pair(self, uniform: np.ndarray, strength: float) -> Pair:
        """Targets and both models' predictions."""
        y, before, after = self.draw(uniform, strength)
        return (y, after, before) if self.swapped else (y, before, after)

    def strength(self, gain: float, n: int) -> float:
        """Noise of the model after; does not depend on n."""
        from scipy.optimize import brentq

        if gain == 0 and self.exchangeable:
            return _BEFORE
        uniform = population(self.n_dimensions, _LOG2_ROWS)

        def excess(noise: float) -> float:
            y, before, after = self.pair(uniform, noise)
            return self.goal.gain(y, before, after, self.goal.reference(y, self.n_classes)) - gain

        return float(brentq(excess, 0.0, 2.5, xtol=1e-5))  # pyright: ignore[reportArgumentType]

    def compare(
        self, rng: np.random.Generator, n: int, strength: float, level: float
    ) -> Comparison:
        """Draw n rows and compare on them."""
        y, before, after = self.pair(rng.random((n, self.n_dimensions)), strength)
        reference = self.goal.reference(y, self.n_classes)
        return paired_bootstrap(
            self.goal.metrics,
            y,
            before,
            after,
            reference,
            level=level,
            n_resamples=self.resamples,
            seed=int(rng.integers(2**31)),
        )


def _classes(
    offsets: np.ndarray, spread: float, confidence: float = 1.0
) -> Callable[[np.ndarray, float], Pair]:
    """Softmax over one hidden log-odds per class, of standard deviation `spread`; the first class
    has none.
    """
    hidden = len(offsets)

    def draw(uniform: np.ndarray, noise: float) -> Pair:
        from scipy.special import ndtri, softmax

        normal = ndtri(uniform[:, 1:]).reshape(len(uniform), 3, hidden)
        true = spread * normal[:, 0] + offsets
        shares = np.cumsum(softmax(_with_first(true), axis=1), axis=1)
        y = (uniform[:, :1] > shares[:, :-1]).sum(axis=1)
        models = []
        for own, scale, sharp in ((normal[:, 1], _BEFORE, 1.0), (normal[:, 2], noise, confidence)):
            proba = softmax(_with_first(sharp * (true + scale * spread / 2 * own)), axis=1)
            models.append(Predictions(proba.argmax(axis=1), proba))
        return y, models[0], models[1]

    return draw


def _with_first(log_odds: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(log_odds), 1)), log_odds], axis=1)


def _numbers(laplace: bool) -> Callable[[np.ndarray, float], Pair]:
    """A number with noise; the errors of the model after are normal, or Laplace of the same
    standard deviation.
    """

    def draw(uniform: np.ndarray, noise: float) -> Pair:
        from scipy.special import ndtri
        from scipy.stats import laplace as laplace_distribution

        true = 2 * ndtri(uniform[:, 0])
        own = (
            laplace_distribution.ppf(uniform[:, 3]) / np.sqrt(2)
            if laplace
            else ndtri(uniform[:, 3])
        )
        y = true + ndtri(uniform[:, 1])
        return (
            y,
            Predictions(true + _BEFORE * ndtri(uniform[:, 2])),
            Predictions(true + noise * own),
        )

    return draw


def holdout_settings() -> tuple[HoldoutSetting, ...]:
    """All settings of the paired bootstrap; the exchangeable ones come first of their kind."""
    default = {kind: Goal(kind, default_metrics(kind)) for kind in Kind}
    even, rare, three = np.zeros(1), np.array([-7.6]), np.array([-0.5, -1.5])
    binary = HoldoutSetting(
        "binary, 50%", default[Kind.binary], _classes(even, 2), 4, 2, powered=True
    )
    rare_class = replace(binary, name="binary, 5%", draw=_classes(rare, 4))
    multiclass = HoldoutSetting(
        "3 classes", default[Kind.multiclass], _classes(three, 2), 7, 3, powered=True
    )
    regression = HoldoutSetting(
        "regression", default[Kind.regression], _numbers(False), 4, 0, powered=True
    )
    unlike = tuple(
        replace(alike, name=f"{alike.name}, {how}", draw=draw, exchangeable=False, powered=False)
        for alike, how, draw in (
            (binary, "overconfident", _classes(even, 2, 1.4)),
            (rare_class, "overconfident", _classes(rare, 4, 1.4)),
            (multiclass, "overconfident", _classes(three, 2, 1.4)),
            (regression, "Laplace errors", _numbers(True)),
        )
    )
    return (
        binary,
        rare_class,
        replace(
            rare_class, name="binary, 5%, f1", goal=Goal(Kind.binary, {"f1": 1.0}), powered=False
        ),
        multiclass,
        regression,
        *unlike,
        *(replace(setting, name=f"{setting.name}, swapped", swapped=True) for setting in unlike),
    )
