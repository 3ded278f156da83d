"""What the engine hands to a loss, and what it gets back. No algorithm is named here: a loss is a
pure function of these tensors.

A step's rows are computed in pieces, so a loss says what a *piece* adds to the step's loss: it is
normalised by the size of the whole step, and the pieces' gradients add up to the step's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Tokens:
    """The completions of one piece: B rows, T columns, log-probabilities in nats.

    Attributes
    ----------
    logps : float, shape (B, T)
        Under the policy; carries the gradient. Beyond a completion's end anything.
    old : float, shape (B, T)
        Denominator of the importance ratio.
    sampling : float, shape (B, T)
        As logged by the server that sampled.
    advantage : float, shape (B, T)
        With importance weights folded in where there are any.
    mask : int, shape (B, T)
        1 where there is a token; a row may be blank.
    reference : float, shape (B, T), or None
        Under the base model, where the loss asked for it.
    """

    logps: Float[Tensor, "rows tokens"]
    old: Float[Tensor, "rows tokens"]
    sampling: Float[Tensor, "rows tokens"]
    advantage: Float[Tensor, "rows tokens"]
    mask: Shaped[Tensor, "rows tokens"]
    reference: Float[Tensor, "rows tokens"] | None = None


@dataclass(frozen=True)
class StepSize:
    """Rows (completions) and completion tokens of a whole optimizer step."""

    rows: int
    tokens: int


@dataclass(frozen=True, eq=False)
class PieceLoss:
    """What a piece adds to the step's loss, and figures of its tokens to be averaged.

    Attributes
    ----------
    value : float, shape ()
    figures : mapping of str to tensor of shape (B, T) or (B, 1)
        By the name under which the step's history shows their mean over tokens, such as
        "clip_share".
    """

    value: Float[Tensor, ""]
    figures: Mapping[str, Shaped[Tensor, "rows _"]] = field(default_factory=dict)


Loss = Callable[[Tokens, StepSize], PieceLoss]
Old = Literal["logged", "recompute", "current"]


@dataclass(frozen=True)
class Replay:
    """How rows are replayed.

    Attributes
    ----------
    loss : Loss
    old : str
        Denominator of the ratio: "logged", "recompute", or "current" (the ratio is always one).
    weight_cap : float, optional
        Largest importance weight; None: no weights. Read where `old` is "recompute".
    batch_tokens : int, optional
        Maximum number of cells computed at once.
    kl_limit : float, optional
        Nats per token; see `brake.KLBrake`.
    reference : bool
        Whether the loss reads the base model's log-probabilities.
    """

    loss: Loss
    old: Old = "logged"
    weight_cap: float | None = None
    batch_tokens: int | None = None
    kl_limit: float | None = None
    reference: bool = False


def mean_over_tokens(
    loss: Float[Tensor, "rows tokens"], mask: Shaped[Tensor, "rows tokens"], step: StepSize
) -> Float[Tensor, ""]:
    """A piece's part of the mean over all completion tokens of the step."""
    return (loss * mask).sum() / max(step.tokens, 1)


def clip_share(
    loss: Loss, log_ratios: Sequence[np.ndarray], advantages: Sequence[np.ndarray]
) -> float | None:
    """Share of tokens, in [0, 1], at which the loss's clip acts: the mean of its figure
    "clip_share". None if it reports none.

    Parameters
    ----------
    loss : Loss
    log_ratios, advantages : sequence of ndarray, each of shape (T,)
        One a row; of the policy against the ratio's denominator, nats.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def padded(arrays: Sequence[np.ndarray]) -> Float[Tensor, "rows tokens"]:
        lines = [torch.from_numpy(np.asarray(array, np.float64)) for array in arrays]
        return pad_sequence(lines, batch_first=True)

    new, mask = padded(log_ratios), padded([np.ones(len(one)) for one in log_ratios])
    zero = torch.zeros_like(new)
    tokens = Tokens(new, zero, zero, padded(advantages), mask, reference=zero)
    size = StepSize(len(log_ratios), int(mask.sum()))
    share = loss(tokens, size).figures.get("clip_share")
    return None if share is None else float((share * mask).sum() / mask.sum())
