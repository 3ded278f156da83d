"""The metrics there are, one record each; `names` checks what a person asks for, `values` computes.

Plain numpy and pure functions. Skills, gains and their significance are in `marl_llm.metrics`.
"""

from __future__ import annotations

from marl_llm.core.metrics.counted import COUNTED
from marl_llm.core.metrics.probabilistic import PROBABILISTIC
from marl_llm.core.metrics.ranked import RANKED
from marl_llm.core.metrics.record import Metric
from marl_llm.core.metrics.regression import OF_NUMBERS

METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (*COUNTED, *RANKED, *PROBABILISTIC, *OF_NUMBERS)
}

__all__ = ["METRICS", "Metric"]
