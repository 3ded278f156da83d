"""Numbers of one batch from the pieces it was computed in: sums go in, means over the batch's tokens come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch


class RatioTotals:
    """Sums over a batch's completion tokens of the importance ratio and of the weight against the sampling policy."""

    def __init__(self) -> None:
        self._sums: list[torch.Tensor] = []
        self._largest: list[torch.Tensor] = []

    def add(self, new: torch.Tensor, old: torch.Tensor, sampling: torch.Tensor, mask: torch.Tensor) -> None:
        """Add a piece: log-probabilities (nats) of shape (B, T) under the policy, the ratio's denominator and the
        sampling policy; `mask` is 1 where there is a token."""
        kept = mask.bool()
        log_ratio, log_weight = (new - old)[kept].double(), (new - sampling)[kept].double()
        ratio, weight = log_ratio.exp(), log_weight.exp()
        count = torch.full_like(ratio, 1).sum()
        self._sums.append(
            torch.stack([count, ratio.sum(), (ratio - 1 - log_ratio).sum(), weight.sum(), weight.square().sum()])
        )
        self._largest.append(ratio.max() if len(ratio) else count)

    def means(
        self, total: Callable[[torch.Tensor], torch.Tensor], largest: Callable[[torch.Tensor], torch.Tensor]
    ) -> dict[str, float]:
        """ratio_mean, ratio_max, approx_kl (nats, Schulman's k3 against the denominator) and ess_frac (effective sample
        size over tokens, against the sampling policy); `total` and `largest` reduce over processes."""
        count, ratio, kl, weight, squares = total(torch.stack(self._sums).sum(0)).tolist()
        return {
            "ratio_mean": ratio / count,
            "ratio_max": largest(torch.stack(self._largest).max()).item(),
            "approx_kl": kl / count,
            "ess_frac": weight**2 / squares / count,
        }


def combine(parts: Sequence[tuple[float, dict[str, list[float]]]]) -> dict[str, float]:
    """TRL's metrics of a batch from those of its pieces: means weighted by tokens; of `..._min` and `..._max` the
    extreme. What is no number (a piece without rows) is left out.

    Parameters
    ----------
    parts : sequence of (weight, metrics)
        A metric is the list of what TRL appended.
    """
    found: dict[str, float] = {}
    for name in {name: None for _, metrics in parts for name in metrics}:
        pairs = [(weight, value) for weight, metrics in parts for value in metrics.get(name, [])]
        pairs = [(weight, value) for weight, value in pairs if not math.isnan(value)]
        values, total = [value for _, value in pairs], sum(weight for weight, _ in pairs)
        if not values:
            continue
        if name.endswith("_min"):
            found[name] = min(values)
        elif name.endswith("_max"):
            found[name] = max(values)
        else:
            found[name] = sum(weight * value for weight, value in pairs) / max(total, 1e-9)
    return found
