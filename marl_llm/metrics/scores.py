"""Skills and the score: labels and predictions in, comparable numbers out.

A skill is higher-is-better with 1 for perfect, and grows with its metric. Metrics with 1 for
perfect (F1, ROC AUC, r2, D2 ...) are their own skill, so a trivial predictor has the skill of its
accuracy, not 0. A loss is measured against the trivial predictor learned on the development labels:
`1 - loss / trivial loss`; the trivial predictor says the class shares (log-loss, Brier score), the
mean (squared and largest errors, Poisson and gamma deviance), the median (absolute errors) or the
mean of log(1 + y) (logarithmic errors). Likelihood ratios, unbounded, become `(LR+ - 1) / (LR+ +
1)` and `(1 - LR-) / (1 + LR-)`: 0 for a ratio of 1, which tells nothing. No skill is below -1. The
score is the weighted mean of the skills. Significance is not judged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.metrics import METRICS, Metric
from marl_llm.core.metrics.names import split_class
from marl_llm.core.metrics.record import Trivial
from marl_llm.core.metrics.rows import Rows
from marl_llm.core.metrics.values import raw_values
from marl_llm.core.predictions import Predictions

_FLOOR = -1.0


@dataclass(frozen=True)
class Reference:
    """The trivial predictor: what can be known from development labels alone.

    Attributes
    ----------
    priors : tuple of float
        Share of each class, length K; empty for regression.
    mean, median : float
        Of the target, in its own unit; nan for classification.
    log_mean : float
        The value whose log(1 + value) is the mean of the target's, in its own unit; nan where a
        target is -1 or less.
    classes : tuple of str
        Names of the classes in the order of their index, length K; () where no metric names a
        class.
    """

    priors: tuple[float, ...]
    mean: float
    median: float
    log_mean: float = float("nan")
    classes: tuple[str, ...] = ()

    @classmethod
    def from_labels(
        cls, y: np.ndarray, kind: Kind, n_classes: int | None = None, classes: Sequence[str] = ()
    ) -> Reference:
        """Learn it from development labels `y`, shape (n,): int64 class indices, or float64
        values.
        """
        if not kind.is_classification:
            log_mean = float(np.expm1(np.mean(np.log1p(y)))) if np.min(y) > -1 else float("nan")
            return cls((), float(np.mean(y)), float(np.median(y)), log_mean)
        counts = np.bincount(np.asarray(y, dtype=np.int64), minlength=n_classes or len(classes))
        nan = float("nan")
        return cls(tuple((counts / counts.sum()).tolist()), nan, nan, nan, tuple(classes))

    @property
    def n_classes(self) -> int:
        """Number of classes K, 0 for regression."""
        return len(self.priors)


@dataclass(frozen=True)
class Scores:
    """Metrics of one set of predictions: `raw` with scikit-learn's sign, `skills`, and their
    weighted mean `score`.
    """

    raw: dict[str, float]
    skills: dict[str, float]
    score: float


def score_predictions(
    metrics: Mapping[str, float], y_true: np.ndarray, predictions: Predictions, reference: Reference
) -> Scores:
    """Score predictions on rows with known targets.

    Parameters
    ----------
    metrics : mapping of scorer name to weight
        As checked by `check_metrics`. The positive class of `f1`, `precision`, `recall`, `jaccard`,
        `roc_auc`, of the likelihood ratios and of binary `average_precision` is class index 1.
    y_true : ndarray, shape (n,)
        int64 class index in 0..K-1, or float64 value.
    predictions : Predictions
        For the same n rows in the same order.
    reference : Reference
        From the development labels.

    Returns
    -------
    Scores

    Examples
    --------
    The median is wrong by 1 on average, these predictions by half of that: a skill of 0.5.

    >>> y, metrics = np.array([0.0, 0.0, 0.0, 4.0]), {"neg_mean_absolute_error": 1.0}
    >>> reference = Reference.from_labels(y, Kind.regression)
    >>> predictions = Predictions(np.array([0.0, 0.0, 0.0, 2.0]))
    >>> found = score_predictions(metrics, y, predictions, reference)
    >>> found.raw, found.score
    ({'neg_mean_absolute_error': -0.5}, 0.5)
    """
    ones = np.ones((1, len(y_true)))
    raw, skills = resampled_skills(metrics, y_true, predictions, reference, ones)
    return Scores(
        raw={name: float(values[0]) for name, values in raw.items()},
        skills={name: float(values[0]) for name, values in skills.items()},
        score=float(weighted_mean(metrics, skills)[0]),
    )


def resampled_skills(
    metrics: Mapping[str, float],
    y_true: np.ndarray,
    predictions: Predictions,
    reference: Reference,
    weights_BN: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Raw metrics and skills under each line of row weights (B, n); values of shape (B,)."""
    rows = _rows(y_true, predictions, reference.n_classes)
    raw = raw_values(metrics, rows, weights_BN, reference.classes)
    trivial = _trivial_losses(metrics, rows.y, reference, weights_BN)
    return raw, {name: _skill(name, values, trivial.get(name)) for name, values in raw.items()}


def weighted_mean(metrics: Mapping[str, float], skills: Mapping[str, np.ndarray]) -> np.ndarray:
    """The score: mean of the skills under the user's weights, shape (B,)."""
    total = sum(weight * skills[name] for name, weight in metrics.items())
    return np.asarray(total) / sum(metrics.values())


def _rows(y_true: np.ndarray, predictions: Predictions, n_classes: int) -> Rows:
    if not n_classes:
        return Rows(
            np.asarray(y_true, np.float64),
            np.asarray(predictions.labels, np.float64),
            np.empty((len(y_true), 0)),
        )
    labels = np.asarray(predictions.labels, np.int64)
    proba = predictions.proba
    if proba is None:
        proba = np.eye(n_classes)[labels]
    return Rows(np.asarray(y_true, np.int64), labels, np.asarray(proba, np.float64))


def _trivial_losses(
    metrics: Mapping[str, float], y: np.ndarray, reference: Reference, weights_BN: np.ndarray
) -> dict[str, np.ndarray]:
    """Raw value of each unbounded loss for the trivial predictor on the same weighted rows."""
    values: dict[str, np.ndarray] = {}
    for trivial in Trivial:
        chosen = [name for name in metrics if _record(name).against is trivial]
        if chosen:
            values |= raw_values(chosen, _trivial_rows(trivial, y, reference), weights_BN)
    return values


def _trivial_rows(trivial: Trivial, y: np.ndarray, reference: Reference) -> Rows:
    if trivial is Trivial.priors:
        return Rows(
            y, y, np.broadcast_to(np.asarray(reference.priors), (len(y), reference.n_classes))
        )
    constants = {
        Trivial.mean: reference.mean,
        Trivial.median: reference.median,
        Trivial.log_mean: reference.log_mean,
    }
    return Rows(y, np.full(len(y), constants[trivial]), np.empty((len(y), 0)))


def _record(name: str) -> Metric:
    return METRICS[split_class(name)[0]]


def _skill(name: str, raw: np.ndarray, trivial: np.ndarray | None) -> np.ndarray:
    if (skill := _record(name).skill) is not None:
        return skill(raw)
    if trivial is None:
        return np.maximum(raw, _FLOOR)
    with np.errstate(divide="ignore", invalid="ignore"):
        against = 1.0 - raw / trivial
    return np.maximum(np.where(raw == 0, 1.0, np.nan_to_num(against, nan=_FLOOR)), _FLOOR)
