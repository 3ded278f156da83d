"""`difference`: one number minus another."""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false
# Functions that are embedded in generated code carry no annotations: agents read that code.

from __future__ import annotations

import numpy as np

from marl_llm.proposals.ops.feature import Order, Takes, scaled_function


def difference(X):
    """First column minus the second; shape (n, 1)."""
    first, second = np.asarray(X, dtype=float).T
    return (first - second)[:, None]


DIFFERENCE = scaled_function(
    difference,
    name="difference",
    meaning="first minus second",
    constant="DIFF",
    takes=Takes(2, 2, order=Order.given),
    synonyms=("diff",),
)
