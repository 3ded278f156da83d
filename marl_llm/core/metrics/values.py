"""Every metric as a function of row weights: true targets and predictions in, one raw value per
line of weights out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from marl_llm.core.metrics import METRICS
from marl_llm.core.metrics.names import split_class
from marl_llm.core.metrics.rows import Rows, Sample


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
    sample = Sample(rows, weights_BN)
    return {name: _value(name, sample, classes) for name in names}


def _value(name: str, sample: Sample, classes: Sequence[str]) -> np.ndarray:
    base, of_class = split_class(name)
    metric = METRICS[base]
    if of_class is None or metric.of_class is None:
        return metric.value(sample)
    return metric.of_class(sample, classes.index(of_class))
