"""Which metrics exist and which kind of target each one fits.

Names and weights flow in, checked ones out. Names are those of scikit-learn's scorers; nothing is computed here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

from marl_llm.errors import UserError
from marl_llm.kind import Kind

_AVERAGES = ("macro", "micro", "weighted")
_COUNT_BASED = ("f1", "precision", "recall", "jaccard")
_BINARY_ONLY = (*_COUNT_BASED, "roc_auc")
_CLASSIFICATION = (
    "accuracy",
    "balanced_accuracy",
    *(f"{metric}_{average}" for metric in _COUNT_BASED for average in _AVERAGES),
    "roc_auc_ovr",
    "roc_auc_ovo",
    "roc_auc_ovr_weighted",
    "roc_auc_ovo_weighted",
    "average_precision",
    "matthews_corrcoef",
    "neg_log_loss",
    "neg_brier_score",
)
_REGRESSION = (
    "r2",
    "explained_variance",
    "neg_root_mean_squared_error",
    "neg_mean_squared_error",
    "neg_mean_absolute_error",
    "neg_median_absolute_error",
    "neg_mean_absolute_percentage_error",
)
_NAMES: dict[Kind, tuple[str, ...]] = {
    Kind.binary: (*_CLASSIFICATION, *_BINARY_ONLY),
    Kind.multiclass: _CLASSIFICATION,
    Kind.regression: _REGRESSION,
}
_EVERYDAY_NAMES = {
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "ap": "average_precision",
    "acc": "accuracy",
    "mcc": "matthews_corrcoef",
    "logloss": "neg_log_loss",
    "cross_entropy": "neg_log_loss",
    "brier": "neg_brier_score",
    "rmse": "neg_root_mean_squared_error",
    "mse": "neg_mean_squared_error",
    "mae": "neg_mean_absolute_error",
    "mape": "neg_mean_absolute_percentage_error",
}


def metrics_for(kind: Kind) -> tuple[str, ...]:
    """Names of all metrics that fit a kind of target, sorted."""
    return tuple(sorted(_NAMES[kind]))


def default_metrics(kind: Kind) -> dict[str, float]:
    """Metrics and weights used where the user names none."""
    if kind.is_classification:
        return {"f1_macro": 1.0, "recall_macro": 1.0, "neg_log_loss": 1.0}
    return {"r2": 1.0, "neg_root_mean_squared_error": 1.0}


def check_metrics(
    metrics: Mapping[str, float], kind: Kind, class_names: Sequence[str] | None = None
) -> dict[str, float]:
    """Validate metric names and weights against the kind of target.

    Parameters
    ----------
    metrics : mapping of scorer name to weight
        Weights are positive; only their ratios matter.
    kind : Kind
    class_names : sequence of str, optional
        Only used to make the error message concrete.

    Returns
    -------
    dict of str to float, in the order given.

    Raises
    ------
    UserError
        For an empty mapping, an unknown name (the nearest one is suggested), a metric that does not fit the kind of
        target, or a weight that is not a positive number.
    """
    if not metrics:
        raise UserError(f"No metric is given: name at least one of {', '.join(metrics_for(kind))}.")
    for name, weight in metrics.items():
        _check_name(name, kind, class_names)
        _check_weight(name, weight)
    return {name: float(weight) for name, weight in metrics.items()}


def _check_name(name: str, kind: Kind, class_names: Sequence[str] | None) -> None:
    if name in _NAMES[kind]:
        return
    if any(name in names for names in _NAMES.values()):
        target = f"{kind} target" + (f" with {len(class_names)} classes" if class_names else "")
        raise UserError(f"Metric '{name}' does not fit a {target}: choose from {', '.join(metrics_for(kind))}.")
    nearest = _nearest(name, kind)
    advice = f"did you mean '{nearest}'?" if nearest else f"choose from {', '.join(metrics_for(kind))}."
    raise UserError(f"Unknown metric '{name}': {advice}")


def _nearest(name: str, kind: Kind) -> str | None:
    plain = str(name).lower().replace("-", "_").replace(" ", "_")
    everyday = _EVERYDAY_NAMES.get(plain.replace("_score", ""))
    if everyday in _NAMES[kind]:
        return everyday
    if f"neg_{plain}" in _NAMES[kind]:
        return f"neg_{plain}"
    return next(iter(difflib.get_close_matches(plain, metrics_for(kind), n=1, cutoff=0.5)), None)


def _check_weight(name: str, weight: float) -> None:
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight) or weight <= 0:
        raise UserError(f"The weight of metric '{name}' is {weight!r}: give a positive number.")
