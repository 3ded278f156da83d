"""`ratio`: one number over another."""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false
# Functions that are embedded in generated code carry no annotations: agents read that code.

from __future__ import annotations

import numpy as np

from marl_llm.proposals.ops.feature import Order, Takes, scaled_function


def ratio(X):
    """First column over the second, 0 where the second is 0; shape (n, 1)."""
    top, bottom = np.asarray(X, dtype=float).T
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)[:, None]


RATIO = scaled_function(
    ratio,
    name="ratio",
    meaning="first over second",
    constant="RATIO",
    takes=Takes(2, 2, order=Order.given),
)
