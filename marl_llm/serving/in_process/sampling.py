"""One token drawn from logits, with its log-probability: the undistorted distribution, as the
server's requests ask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GREEDY = 1e-5
"""Temperatures below are 0, as in vLLM."""


def draw(
    logits: NDArray[np.float32], temperature: float, rng: np.random.Generator
) -> tuple[int, float]:
    """Draw a token.

    Parameters
    ----------
    logits : float32, shape (vocabulary,)
    temperature : float
        1 draws from the policy itself, 0 takes the likeliest.
    rng : numpy.random.Generator
        One draw per token of the vocabulary: the smallest of independent exponentials with rates p
        is token i with probability p_i.

    Returns
    -------
    token : int
    logprob : float
        Natural logarithm of its probability at this temperature (at 0: at temperature 1).
    """
    greedy = temperature < _GREEDY
    scaled = logits if greedy else logits / np.float32(temperature)
    shifted = scaled - scaled.max()
    weights = np.exp(shifted)
    token = (
        int(logits.argmax())
        if greedy
        else int((weights / rng.standard_exponential(len(weights))).argmax())
    )
    return token, float(shifted[token] - np.log(weights.sum()))
