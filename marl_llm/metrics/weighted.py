"""Every metric as a function of row weights.

Input: the true targets and predictions of n rows (`Rows`) and a matrix of weights `weights_BN`, one line per resample
(a line of ones gives the plain metric, multinomial counts give a bootstrap resample). Output: one raw value per line,
with scikit-learn's sign (losses are negative) and scikit-learn's conventions for empty classes. The positive class of
binary metrics is class index 1; `recall[setosa]` is the recall of the class of that name. No skill and no significance
is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from marl_llm.core.metric_names import split_class
from marl_llm.metrics import counted, ranked
from marl_llm.metrics.probabilistic import PROBABILISTIC
from marl_llm.metrics.regression import REGRESSION
from marl_llm.metrics.rows import Rows


def raw_values(
    names: Iterable[str], rows: Rows, weights_BN: np.ndarray, classes: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Raw metrics under each line of weights.

    Parameters
    ----------
    names : iterable of metric names
    rows : Rows
    weights_BN : ndarray, shape (B, n), non-negative, no line all zero
    classes : sequence of str
        Names of the classes in the order of their index, for metrics of one class.

    Returns
    -------
    dict of metric name to float64 array, shape (B,)
    """
    parts = {name: split_class(name) for name in names}
    needs_counts = any(base in counted.COUNTED for base, _ in parts.values())
    counts = counted.count_classes(rows, weights_BN) if needs_counts else None
    values: dict[str, np.ndarray] = {}
    for name, (base, of_class) in parts.items():
        if of_class is not None:
            values[name] = _of_class(base, classes.index(of_class), rows, weights_BN, counts)
        elif counts is not None and name in counted.COUNTED:
            values[name] = counted.COUNTED[name](counts)
        else:
            values[name] = _METRICS[name](rows, weights_BN)
    return values


def _of_class(base: str, index: int, rows: Rows, weights_BN: np.ndarray, counts: counted.Counts | None) -> np.ndarray:
    if counts is not None and base in counted.PER_CLASS:
        return counted.of_class(base, counts, index)
    return ranked.PER_CLASS[base](rows, weights_BN, index)


_METRICS: dict[str, Callable[[Rows, np.ndarray], np.ndarray]] = {
    "roc_auc": ranked.binary_roc_auc,
    "roc_auc_ovr": lambda rows, weights: ranked.one_versus_rest(rows, weights, False),
    "roc_auc_ovr_weighted": lambda rows, weights: ranked.one_versus_rest(rows, weights, True),
    "roc_auc_ovo": lambda rows, weights: ranked.one_versus_one(rows, weights, False),
    "roc_auc_ovo_weighted": lambda rows, weights: ranked.one_versus_one(rows, weights, True),
    "average_precision": ranked.mean_average_precision,
    **PROBABILISTIC,
    **REGRESSION,
}
