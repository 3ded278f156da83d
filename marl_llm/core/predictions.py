"""Raw predictions of a fitted pipeline: all that the sandbox hands out, and all that metrics are
computed from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for n rows, in the caller's row order.

    Attributes
    ----------
    labels : ndarray, shape (n,)
        int64 class index (classification) or float64 value (regression), from `predict`.
    proba : ndarray or None, shape (n, n_classes)
        float64 class probabilities, rows sum to 1; the one-hot form of `labels` where the estimator
        has no `predict_proba`; None for regression.
    """

    labels: np.ndarray
    proba: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)
