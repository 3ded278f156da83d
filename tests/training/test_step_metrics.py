"""Figures of a batch from its pieces, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest


def tokens(new: list[list[float]], sampling: list[list[float]], mask: list[list[int]]) -> Any:
    """A piece whose ratio's denominator is one everywhere."""
    import torch

    from marl_llm.training.loss import Tokens

    logps = torch.tensor(new)
    zero = torch.zeros_like(logps)
    return Tokens(logps, zero, torch.tensor(sampling), zero, torch.tensor(mask))


def means(pieces: list[tuple[Any, dict[str, Any]]]) -> dict[str, float]:
    from marl_llm.training.step_metrics import BatchFigures

    figures = BatchFigures()
    for piece, found in pieces:
        figures.add(piece, found)
    return figures.means(lambda sums: sums, lambda largest: largest)


def test_ratios_are_means_over_the_tokens_of_all_pieces() -> None:
    first = tokens([[0.0, math.log(2)]], [[0.0, 0.0]], [[1, 1]])
    second = tokens([[math.log(3), 9.0]], [[math.log(6), 0.0]], [[1, 0]])
    blank = tokens([[0.0, 0.0]] * 2, [[0.0, 0.0]] * 2, [[0, 0]] * 2)
    found = means([(first, {}), (second, {}), (blank, {})])
    assert found["ratio_mean"] == pytest.approx((1 + 2 + 3) / 3)
    assert found["ratio_max"] == pytest.approx(3)
    assert found["approx_kl"] == pytest.approx((0 + (1 - math.log(2)) + (2 - math.log(3))) / 3)
    weights = [1, 2, 0.5]  # against the sampling policy
    assert found["ess_frac"] == pytest.approx(sum(weights) ** 2 / sum(w**2 for w in weights) / 3)


def test_figures_of_a_loss_are_means_over_the_tokens_of_all_pieces() -> None:
    """One number per token, or per completion, which then counts for each of its tokens."""
    import torch

    two = tokens([[0.0, 0.0]], [[0.0, 0.0]], [[1, 1]])
    one = tokens([[0.0, 0.0]], [[0.0, 0.0]], [[1, 0]])
    blank = tokens([[0.0, 0.0]], [[0.0, 0.0]], [[0, 0]])

    def given(entropy: list[float], clipped: bool) -> dict[str, Any]:
        return {"entropy": torch.tensor([entropy]), "clip_share": torch.tensor([[clipped]])}

    pieces = [(two, given([1.0, 3.0], True)), (one, given([5.0, 99.0], False))]
    found = means([*pieces, (blank, given([7.0, 7.0], True))])
    assert found["entropy"] == pytest.approx(3) and found["clip_share"] == pytest.approx(2 / 3)
