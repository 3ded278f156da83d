"""Batches by length: every row once, little padding, an order that follows the seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.training.batching import LengthSampler, length_batches, padding_share


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 70), st.integers(1, 9), st.integers(0, 5))
def test_every_row_comes_once_and_only_the_last_batch_is_short(count: int, batch_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batches = length_batches(rng.integers(1, 50, count), rng.integers(1, 50, count), batch_rows, rng)
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(count))
    assert all(len(batch) == batch_rows for batch in batches[:-1])


def test_rows_of_similar_lengths_share_batches() -> None:
    rng = np.random.default_rng(0)
    prompts, completions = rng.integers(100, 900, 512), rng.integers(5, 200, 512)
    random = np.split(rng.permutation(512), 32)
    ours = length_batches(prompts, completions, 16, rng)
    assert padding_share(prompts, completions, ours) < 0.4 * padding_share(prompts, completions, random)


def test_padding_share_by_hand() -> None:
    # rectangle of 2 x (4 + 3) = 14 cells, 4 + 1 + 2 + 3 = 10 of them real
    assert padding_share(np.array([4, 2]), np.array([1, 3]), [np.array([0, 1])]) == 1 - 10 / 14


def test_epochs_differ_and_seeds_repeat() -> None:
    lengths = np.arange(40), np.arange(40)[::-1]
    one, two = LengthSampler(*lengths, 4, seed=1), LengthSampler(*lengths, 4, seed=1)
    first = list(one)
    assert first == list(two) and len(one) == 40
    assert list(one) != first
    assert list(LengthSampler(*lengths, 4, seed=2)) != first
