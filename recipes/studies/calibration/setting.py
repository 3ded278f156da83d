"""A setting: where two models with a known true gain come from, and which test compares them.

Both tests are simulated on models that differ in one number, the *strength* of the model after; it
is solved for, so that the gain between the two models in the population is the one asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.metrics.scores import Reference, score_predictions
from marl_llm.metrics.significance import Comparison


@dataclass(frozen=True)
class Goal:
    """What is predicted, and the weighted metrics it is judged by."""

    kind: Kind
    metrics: dict[str, float]

    def reference(self, y: np.ndarray, n_classes: int) -> Reference:
        """The trivial predictor of these targets."""
        return Reference.from_labels(y, self.kind, n_classes or None)

    def gain(
        self, y: np.ndarray, before: Predictions, after: Predictions, reference: Reference
    ) -> float:
        """Score after minus score before on the same rows, in skill units."""
        scores = [
            score_predictions(self.metrics, y, model, reference).score for model in (before, after)
        ]
        return scores[1] - scores[0]


class Setting(Protocol):
    """One kind of comparison that can be repeated with fresh data."""

    @property
    def name(self) -> str:
        """Unique, for people."""
        ...

    @property
    def test(self) -> str:
        """Which test is used."""
        ...

    @property
    def powered(self) -> bool:
        """Its power is measured too."""
        ...

    def strength(self, gain: float, n: int) -> float:
        """The strength at which the true gain is `gain`, for comparisons on n rows."""
        ...

    def compare(
        self, rng: np.random.Generator, n: int, strength: float, level: float
    ) -> Comparison:
        """Draw n rows, let both models predict them, test the gain at `level`."""
        ...


def population(n_dimensions: int, log2_rows: int) -> np.ndarray:
    """Evenly spread uniform numbers (Sobol's), shape (2**log2_rows, n_dimensions): a population
    without sampling noise.

    Means over it err about a hundred times less than means over as many random rows.
    """
    from scipy.stats import qmc

    half_a_step = 0.5 / 2**log2_rows
    return qmc.Sobol(n_dimensions, scramble=False).random_base2(log2_rows) + half_a_step
