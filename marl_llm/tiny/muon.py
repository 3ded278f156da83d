"""Muon in float32 for matrices of equal shape, stacked (Jordan et al. 2024).

`torch.optim.Muon` orthogonalises in bfloat16, which processors without bfloat16 units do several
times slower.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable

import torch

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(gradients: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Approximate U V^T of each matrix; `gradients` has shape (matrices, rows, columns)."""
    a, b, c = _NEWTON_SCHULZ
    tall = gradients.shape[1] > gradients.shape[2]
    x = gradients.mT.contiguous() if tall else gradients
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum with Nesterov's look-ahead, orthogonalised; for two-dimensional weights only."""

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Apply one update from the accumulated gradients."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[tuple[torch.Tensor, torch.Tensor]]] = (
                collections.defaultdict(list)
            )
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                buffer = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                shapes[weight.shape].append((weight, weight.grad.lerp(buffer, group["momentum"])))
            for shape, pairs in shapes.items():
                updates = orthogonalise(torch.stack([update for _, update in pairs]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for (weight, _), update in zip(pairs, updates, strict=True):
                    weight.add_(update, alpha=-group["lr"] * scale)
