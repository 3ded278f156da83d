"""Which metrics exist and which kind of target each one fits.

Names and weights flow in, checked ones out. Names are those of scikit-learn's scorers, or one of
six of them for a single class: `recall[setosa]`, that class against the rest. Nothing is computed
here.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.core.metrics import METRICS
from marl_llm.core.metrics.record import Domain

_ONE_CLASS = re.compile(r"(?P<base>[^\[]+)\[(?P<name>.*)\]", re.DOTALL)
_OF_ONE_CLASS = tuple(name for name, metric in METRICS.items() if metric.of_class)
_EVERYDAY_NAMES = {
    everyday: name for name, metric in METRICS.items() for everyday in metric.everyday
}


def metrics_for(kind: Kind) -> tuple[str, ...]:
    """Names of all metrics that fit a kind of target, sorted."""
    return tuple(sorted(name for name, metric in METRICS.items() if kind in metric.kinds))


def default_metrics(kind: Kind) -> dict[str, float]:
    """Metrics and weights used where the user names none."""
    if kind.is_classification:
        return {"f1_macro": 1.0, "recall_macro": 1.0, "neg_log_loss": 1.0}
    return {"r2": 1.0, "neg_root_mean_squared_error": 1.0}


def split_class(name: str) -> tuple[str, str | None]:
    """`recall[setosa]` is ("recall", "setosa"); any other name is (name, None)."""
    found = _ONE_CLASS.fullmatch(name) if name.endswith("]") else None
    return (found["base"], found["name"]) if found else (name, None)


def check_metrics(
    metrics: Mapping[str, float],
    kind: Kind,
    class_names: Sequence[str] | None = None,
    y: np.ndarray | None = None,
) -> dict[str, float]:
    """Validate metric names and weights against the kind of target.

    Parameters
    ----------
    metrics : mapping of scorer name to weight
        Weights are positive; only their ratios matter. `recall[setosa]` is the recall of one class;
        so are `f1[...]`, `precision[...]`, `jaccard[...]`, `roc_auc[...]` and
        `average_precision[...]`.
    kind : Kind
    class_names : sequence of str, optional
        In the order of their index; needed for metrics of one class.
    y : ndarray, shape (n,), optional
        All known targets of a regression task. Where given, metrics that are undefined for some of
        them are refused.

    Returns
    -------
    dict of str to float, in the order given.

    Raises
    ------
    UserError
        For an empty mapping, an unknown name (the nearest one is suggested), an unknown class, a
        metric that does not fit the kind of target or its values, or a weight that is not a
        positive number.
    """
    if not metrics:
        raise UserError(f"No metric is given: name at least one of {', '.join(metrics_for(kind))}.")
    for name, weight in metrics.items():
        base, of_class = split_class(str(name))
        if of_class is None:
            _check_name(name, kind, class_names)
        else:
            _check_one_class(base, of_class, kind, class_names)
        _check_weight(name, weight)
        if y is not None and of_class is None and (domain := METRICS[name].domain):
            _check_domain(name, domain, y)
    return {name: float(weight) for name, weight in metrics.items()}


def _check_name(name: str, kind: Kind, class_names: Sequence[str] | None) -> None:
    if name in METRICS and kind in METRICS[name].kinds:
        return
    if name in METRICS:
        target = f"{kind} target" + (f" with {len(class_names)} classes" if class_names else "")
        raise UserError(f"Metric '{name}' does not fit a {target}: choose from {_choices(kind)}.")
    nearest = _nearest(name, metrics_for(kind))
    advice = f"did you mean '{nearest}'?" if nearest else f"choose from {_choices(kind)}."
    raise UserError(f"Unknown metric '{name}': {advice}")


def _check_one_class(
    base: str, of_class: str, kind: Kind, class_names: Sequence[str] | None
) -> None:
    name = f"{base}[{of_class}]"
    if not kind.is_classification:
        raise UserError(
            f"Metric '{name}' does not fit a {kind} target: choose from {_choices(kind)}."
        )
    if base not in _OF_ONE_CLASS:
        nearest = _nearest(base, _OF_ONE_CLASS)
        advice = (
            f"did you mean '{nearest}[{of_class}]'?"
            if nearest
            else f"choose from {', '.join(_OF_ONE_CLASS)}."
        )
        raise UserError(f"Unknown metric of one class '{name}': {advice}")
    if of_class not in (class_names or ()):
        known = ", ".join(f"'{c}'" for c in class_names or ()) or "unknown here"
        raise UserError(f"Metric '{name}' names no class of the target: its classes are {known}.")


def _choices(kind: Kind) -> str:
    text = ", ".join(metrics_for(kind))
    return text + "; or of one class, as recall[NAME]" if kind.is_classification else text


def _nearest(name: str, names: Sequence[str]) -> str | None:
    plain = str(name).lower().replace("-", "_").replace(" ", "_")
    everyday = _EVERYDAY_NAMES.get(plain.replace("_score", ""))
    if everyday in names:
        return everyday
    if f"neg_{plain}" in names:
        return f"neg_{plain}"
    return next(iter(difflib.get_close_matches(plain, sorted(names), n=1, cutoff=0.5)), None)


def _check_domain(name: str, domain: Domain, y: np.ndarray) -> None:
    smallest = float(np.min(y))
    if smallest < domain.smallest or (smallest == domain.smallest and not domain.included):
        needed = f"{'at least' if domain.included else 'above'} {domain.smallest:g}"
        raise UserError(
            f"Metric '{name}' needs targets {needed}, but the smallest is {smallest:g}: choose "
            "another metric, e.g. neg_mean_absolute_error."
        )


def _check_weight(name: str, weight: object) -> None:
    number = None if isinstance(weight, bool) or not isinstance(weight, int | float) else weight
    if number is None or not math.isfinite(number) or number <= 0:
        raise UserError(f"The weight of metric '{name}' is {weight!r}: give a positive number.")
