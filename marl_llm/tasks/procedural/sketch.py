"""The outline of a procedural task, drawn before any value is.

In: a random generator. Out: a `Sketch` (kind, truth, sizes, skew, gaps, imbalance, noise) and the
metrics. The shares below decide how varied training tasks are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import default_metrics

_KINDS = (Kind.binary, Kind.multiclass, Kind.regression)
_KIND_SHARES = (0.45, 0.20, 0.35)
_TRUTH_SHARES = {
    True: {
        "linear": 0.26,
        "clusters": 0.20,
        "blobs": 0.14,
        "bumps": 0.08,
        "steps": 0.12,
        "additive": 0.10,
        "products": 0.10,
    },
    False: {
        "linear": 0.34,
        "blobs": 0.16,
        "bumps": 0.10,
        "steps": 0.12,
        "additive": 0.14,
        "products": 0.14,
    },
}
_OTHER_METRICS: dict[Kind, tuple[dict[str, float], ...]] = {
    Kind.binary: (
        {"roc_auc": 1.0},
        {"balanced_accuracy": 1.0, "neg_brier_score": 1.0},
        {"f1": 1.0, "average_precision": 1.0},
        {"accuracy": 1.0},
    ),
    Kind.multiclass: (
        {"accuracy": 1.0},
        {"roc_auc_ovr": 1.0, "f1_weighted": 1.0},
        {"balanced_accuracy": 1.0, "neg_log_loss": 1.0},
    ),
    Kind.regression: (
        {"neg_mean_absolute_error": 1.0},
        {"r2": 1.0},
        {"neg_root_mean_squared_error": 1.0, "neg_median_absolute_error": 1.0},
    ),
}
_GEOMETRIC = frozenset(
    {"clusters", "blobs", "bumps"}
)  # truths in which distances or densities count: few columns that would blur them
_IMBALANCED_METRICS: tuple[dict[str, float], ...] = (
    {"f1_macro": 1.0, "recall_macro": 1.0},
    {"balanced_accuracy": 1.0},
    {"recall": 1.0, "roc_auc": 1.0},
)


@dataclass(frozen=True)
class Sketch:
    """What a procedural task will be, before any value is drawn.

    Attributes
    ----------
    kind : Kind
    truth : str
        A key of `TRUTHS`, or "clusters" or "blobs".
    n_rows : int
        200 to 2,000.
    n_signal, n_irrelevant, n_categorical : int
        Numeric columns that matter, columns that do not, categorical columns.
    n_classes : int
        0 for regression.
    prior : float
        Share of the rarest class.
    sharpness : float
        Signal against label noise: scale of the log-odds, or signal-to-noise ratio.
    skewed : float
        Share of numeric columns that are skewed or heavy-tailed.
    missing : float
        Share of values missing in the columns that have gaps.
    category_signal : float
        Share of the score's variance that categories carry.
    """

    kind: Kind
    truth: str
    n_rows: int
    n_signal: int
    n_irrelevant: int
    n_categorical: int
    n_classes: int
    prior: float
    sharpness: float
    skewed: float
    missing: float
    category_signal: float

    @property
    def priors(self) -> np.ndarray:
        """Share of each class, shape (n_classes,)."""
        if self.kind is Kind.binary:
            return np.array([1 - self.prior, self.prior])
        shares = np.ones(self.n_classes)
        shares[0] = 0.5 if self.prior < 0.5 else 1.0
        return shares / shares.sum()


def draw_sketch(rng: np.random.Generator) -> Sketch:
    """Draw the outline of a task."""
    kind = _KINDS[rng.choice(3, p=_KIND_SHARES)]
    shares = _TRUTH_SHARES[kind.is_classification]
    truth = str(rng.choice(list(shares), p=list(shares.values())))
    columns = int(rng.integers(4, 17)) if rng.random() < 0.9 else int(rng.integers(17, 25))
    n_categorical = int(rng.binomial(columns // 2, 0.5)) if rng.random() < 0.7 else 0
    n_numeric = max(columns - n_categorical, 3)
    n_signal = _signal_count(truth, n_numeric, rng)
    if truth in _GEOMETRIC:
        n_categorical, n_numeric = 0, max(n_signal + int(rng.integers(0, 3)), 4)
    n_classes = {Kind.binary: 2, Kind.multiclass: int(rng.integers(3, 6)), Kind.regression: 0}[kind]
    return Sketch(
        kind=kind,
        truth=truth,
        n_rows=int(np.exp(rng.uniform(np.log(200), np.log(2000)))),
        n_signal=n_signal,
        n_irrelevant=n_numeric - n_signal,
        n_categorical=n_categorical,
        n_classes=n_classes,
        prior=float(rng.uniform(0.08, 0.25)) if rng.random() < 0.4 else 0.5,
        sharpness=float(rng.uniform(1.5, 5.0)),
        skewed=float(
            rng.choice(
                [0.0, 0.3, 0.7, 1.0],
                p=[0.6, 0.3, 0.1, 0.0] if truth in _GEOMETRIC else [0.3, 0.25, 0.25, 0.2],
            )
        ),
        missing=float(
            rng.choice(
                [0.0, 0.05, 0.2], p=[0.7, 0.2, 0.1] if truth in _GEOMETRIC else [0.4, 0.3, 0.3]
            )
        ),
        category_signal=float(rng.uniform(0.1, 0.6)),
    )


def _signal_count(truth: str, n_numeric: int, rng: np.random.Generator) -> int:
    """Local truths need few dimensions; the others use most columns, linear ones at times few of
    many.
    """
    if truth == "bumps":
        return min(n_numeric, int(rng.integers(3, 7)))
    if truth == "blobs":
        return max(4, min(n_numeric, 12))
    if truth in ("steps", "products"):
        return min(n_numeric, int(rng.integers(2, 8)))
    return max(2, round(n_numeric * rng.uniform(0.3, 1.0)))


def draw_metrics(sketch: Sketch, rng: np.random.Generator) -> dict[str, float]:
    """Draw the default metrics in two cases of three, else another set; rare classes get what
    people choose then.
    """
    if rng.random() < 0.67:
        return default_metrics(sketch.kind)
    rare = sketch.kind is Kind.binary and sketch.prior < 0.5 and sketch.truth != "blobs"
    others = _IMBALANCED_METRICS if rare else _OTHER_METRICS[sketch.kind]
    return dict(others[int(rng.integers(len(others)))])
