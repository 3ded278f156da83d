"""Metrics, skills, gains and their significance.

Labels and `Predictions` flow in; raw metrics (with the sign scikit-learn's scorers give them),
skills, one score and paired comparisons flow out. Everything is plain numpy and a pure function: no
estimator, no pipeline and no sandbox is known here.
"""

from __future__ import annotations

from marl_llm.metrics.scores import Reference, Scores, score_predictions
from marl_llm.metrics.significance import Comparison, corrected_resampled_t, paired_bootstrap

__all__ = [
    "Comparison",
    "Reference",
    "Scores",
    "corrected_resampled_t",
    "paired_bootstrap",
    "score_predictions",
]
