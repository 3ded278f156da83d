"""Numbers of a batch from its pieces, by hand."""

from __future__ import annotations

import math

import pytest


def test_ratios_are_means_over_the_tokens_of_all_pieces() -> None:
    import torch

    from marl_llm.training.step_metrics import RatioTotals

    totals = RatioTotals()
    totals.add(torch.tensor([[0.0, math.log(2)]]), torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2))
    new, sampling = torch.tensor([[math.log(3), 9.0]]), torch.tensor([[math.log(6), 0.0]])
    totals.add(new, torch.zeros(1, 2), sampling, torch.tensor([[1, 0]]))
    totals.add(torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, 2))  # a blank piece
    found = totals.means(lambda sums: sums, lambda largest: largest)
    assert found["ratio_mean"] == pytest.approx((1 + 2 + 3) / 3) and found["ratio_max"] == pytest.approx(3)
    assert found["approx_kl"] == pytest.approx((0 + (1 - math.log(2)) + (2 - math.log(3))) / 3)
    weights = [1, 2, 0.5]  # against the sampling policy
    assert found["ess_frac"] == pytest.approx(sum(weights) ** 2 / sum(w**2 for w in weights) / 3)


def test_metrics_of_pieces_are_weighted_by_their_tokens() -> None:
    from marl_llm.training.step_metrics import combine

    pieces = [
        (30, {"entropy": [2.0], "clip_ratio/low_min": [0.1], "clip_ratio/high_max": [0.2]}),
        (10, {"entropy": [4.0], "clip_ratio/low_min": [0.0], "clip_ratio/high_max": [0.5]}),
        (20, {"entropy": [math.nan], "clip_ratio/low_min": [math.nan]}),
    ]
    assert combine(pieces) == {"entropy": 2.5, "clip_ratio/low_min": 0.0, "clip_ratio/high_max": 0.5}
