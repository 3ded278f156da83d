"""`log`: the logarithm of skewed numbers, signed, so that negative ones have one too."""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false
# Functions that are embedded in generated code carry no annotations: agents read that code.

from __future__ import annotations

import numpy as np

from marl_llm.proposals.ops.feature import Takes, scaled_function


def signed_log(X):
    """sign(x) log(1 + |x|), elementwise."""
    return np.sign(X) * np.log1p(np.abs(X))


LOG = scaled_function(
    signed_log,
    name="log",
    meaning="signed logarithm",
    constant="LOG",
    takes=Takes(),
    synonyms=("log1p",),
    columnwise=True,
    skewed_only=True,
)
