"""Figures of one batch from the pieces it was computed in: sums go in, means over the batch's
completion tokens come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from marl_llm.training.loss import Tokens

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from torch import Tensor

Reduce = Callable[[torch.Tensor], torch.Tensor]
"""Brings one tensor of each process together, such as their sum."""


class BatchFigures:
    """Sums over a batch's completion tokens: of the importance ratio, of the weight against the
    sampling policy, and of whatever a loss reports."""

    def __init__(self) -> None:
        self._ratios: list[Tensor] = []
        self._largest: list[Tensor] = []
        self._figures: dict[str, list[Tensor]] = {}

    def add(self, tokens: Tokens, figures: Mapping[str, Shaped[Tensor, "rows _"]]) -> None:
        """Add a piece and its figures, shape (B, T) or (B, 1)."""
        kept = tokens.mask.bool()
        new = tokens.logps.detach()
        log_ratio = (new - tokens.old)[kept].double()
        log_weight = (new - tokens.sampling)[kept].double()
        ratio, weight = log_ratio.exp(), log_weight.exp()
        count = torch.full_like(ratio, 1).sum()
        kl = (ratio - 1 - log_ratio).sum()
        self._ratios.append(
            torch.stack([count, ratio.sum(), kl, weight.sum(), weight.square().sum()])
        )
        self._largest.append(ratio.max() if len(ratio) else count)
        for name, values in figures.items():
            total = (values.detach().double() * tokens.mask).sum()
            self._figures.setdefault(name, []).append(total)

    def means(self, total: Reduce, largest: Reduce) -> dict[str, float]:
        """Means over the batch; `total` and `largest` reduce over processes.

        Returns
        -------
        dict
            ratio_mean, ratio_max, approx_kl (nats, Schulman's k3 against the denominator), ess_frac
            (effective sample size over tokens, against the sampling policy), and the figures.
        """
        count, ratio, kl, weight, squares = total(torch.stack(self._ratios).sum(0)).tolist()
        found = {
            "ratio_mean": ratio / count,
            "ratio_max": largest(torch.stack(self._largest).max()).item(),
            "approx_kl": kl / count,
            "ess_frac": weight**2 / squares / count,
        }
        for name, sums in self._figures.items():
            found[name] = total(torch.stack(sums).sum()).item() / count
        return found
