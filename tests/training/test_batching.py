"""Batches and pieces: every row once, groups together, little padding, budgets kept, an order that
follows the seed.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.training.batching import (
    Sizes,
    StepBatches,
    piece_cells,
    pieces,
    sequence_cells,
    step_batches,
)


def _sizes(prompt: np.ndarray, prompts: np.ndarray, completions: np.ndarray) -> Sizes:
    """Sizes of rows of these lengths; equal numbers in `prompt` are equal prompts, others differ at
    once.
    """
    return Sizes.of(
        [np.full(n, number) for number, n in zip(prompt, prompts, strict=True)],
        completions.tolist(),
    )


def _rows(groups: int, size: int, seed: int = 0) -> tuple[np.ndarray, Sizes]:
    """Prompt number and sizes of `groups` groups of `size` rows."""
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(groups), size)
    return prompt, _sizes(
        prompt, rng.integers(50, 300, groups)[prompt], rng.integers(2, 30, groups * size)
    )


def test_what_prompts_have_in_common_is_counted_along_their_order() -> None:
    prompts = [
        np.array(ids)
        for ids in ([1, 2, 3, 4], [9], [1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 3], [300, 1])
    ]
    sizes = Sizes.of(prompts, [1, 2, 3, 4, 5, 6])
    assert sizes.order.tolist() == [4, 0, 2, 3, 1, 5]
    assert sizes.shared.tolist() == [2, 0, 3, 2, 0, 0]
    assert sequence_cells(sizes.order[:4], sizes) == 4 + (2 + 5) - 4 + 1 + 1 + 3 + 1 + 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=70), st.integers(1, 12), st.integers(0, 5))
def test_every_row_comes_once_in_the_promised_number_of_batches(
    prompt: list[int], batch_rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 50, (2, len(prompt)))
    batches = step_batches(_sizes(np.array(prompt, int), *lengths), batch_rows, rng)
    assert len(batches) == -(-len(prompt) // batch_rows) and all(len(batch) for batch in batches)
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(prompt)))


def test_rows_of_one_prompt_share_a_batch_and_batches_are_of_equal_size() -> None:
    prompt, sizes = _rows(50, 8)
    batches = step_batches(sizes, 64, np.random.default_rng(0))
    assert sum(len(set(prompt[batch])) for batch in batches) == 50
    assert len(batches) == 7 and all(48 <= len(batch) <= 64 for batch in batches)


def test_a_group_larger_than_a_batch_is_split() -> None:
    batches = step_batches(
        _sizes(np.zeros(20, int), np.full(20, 5), np.full(20, 4)), 8, np.random.default_rng(0)
    )
    assert sorted(map(len, batches)) == [6, 7, 7]


def test_requests_on_one_state_share_a_batch_and_what_they_have_in_common_is_computed_once() -> (
    None
):
    """Prompts of 200 tokens that differ in the last 20, as the Engineer's on one program; each
    twice.
    """
    state = np.repeat(np.arange(8), 8)
    prompts = [
        np.concatenate([np.full(180, s), np.full(20, 100 + i // 2)]) for i, s in enumerate(state)
    ]
    sizes = Sizes.of(prompts, [10] * len(prompts))
    batches = step_batches(sizes, 16, np.random.default_rng(0))
    assert sum(len(set(state[batch])) for batch in batches) == 8
    assert sum(piece_cells(piece, sizes)[0] for piece in pieces(sizes)) == 8 * (
        180 + 4 * 19 + 8 * 10
    )
    short = Sizes.of(
        [prompt[100:] for prompt in prompts], [10] * len(prompts)
    )  # 80 in common: better mixed
    batches = step_batches(short, 4, np.random.default_rng(0))
    assert sum(len(set(state[batch])) for batch in batches) > 8


def test_groups_of_similar_lengths_share_batches() -> None:
    _, sizes = _rows(64, 4)
    spread = [
        np.ptp(sizes.prompt[batch]) for batch in step_batches(sizes, 16, np.random.default_rng(0))
    ]
    assert np.mean(spread) < 60 < 0.5 * np.ptp(sizes.prompt)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 12), st.integers(1, 9), st.integers(100, 3000), st.booleans(), st.integers(1, 4)
)
def test_pieces_hold_every_row_once_and_keep_the_budget(
    groups: int, size: int, budget: int, share: bool, processes: int
) -> None:
    prompt, sizes = _rows(groups, size)
    plan = pieces(sizes, budget, share=share, at_least=processes)
    rows = [row for piece in plan for sequence in piece for row in sequence.tolist()]
    assert sorted(rows) == list(range(groups * size))
    for piece in plan:
        alone = len(piece) == 1 and len(piece[0]) == 1
        assert piece_cells(piece, sizes)[1] <= budget or alone
        assert all(len(set(prompt[sequence])) == 1 for sequence in piece)
        assert share or all(len(sequence) == 1 for sequence in piece)


def test_cells_by_hand() -> None:
    sizes = _sizes(np.array([1, 1, 2]), np.array([5, 5, 3]), np.array([2, 3, 4]))
    shared, alone = np.array([0, 1]), np.array([2])
    assert sequence_cells(shared, sizes) == 4 + 2 + 3
    assert sequence_cells(alone, sizes) == 2 + 4
    assert piece_cells([shared, alone], sizes) == (15, 18)


def test_a_prompt_is_computed_once_and_little_is_padding() -> None:
    _, sizes = _rows(64, 8)
    shared = [piece_cells(piece, sizes) for piece in pieces(sizes, 4096)]
    alone = [piece_cells(piece, sizes) for piece in pieces(sizes, 4096, share=False)]
    packed, cells = np.sum(shared, axis=0)
    assert (
        packed == sum(sizes.prompt[::8] - 1) + sizes.completion.sum()
        and packed < 0.3 * np.sum(alone, axis=0)[0]
    )
    assert 1 - packed / cells < 0.1


def test_long_completions_are_not_strung_together_where_attention_would_cost_more() -> None:
    same, count = np.zeros(8, int), np.full(8, 100)
    [piece] = pieces(_sizes(same, count, np.full(8, 2000)))
    assert len(piece) == 8
    [piece] = pieces(_sizes(same, count, np.full(8, 10)))
    assert len(piece) == 1


def test_every_process_gets_a_piece() -> None:
    _, sizes = _rows(16, 4)
    assert len(pieces(sizes)) == 1
    assert len(pieces(sizes, at_least=4)) >= 4


def test_epochs_differ_and_seeds_repeat() -> None:
    _, sizes = _rows(20, 2)
    one, two = (StepBatches(sizes, 4, seed=1) for _ in range(2))
    first = list(one)
    assert first == list(two) == list(one) and len(one) == len(first) == 10
    one.set_epoch(1)
    assert list(one) != first
    assert list(StepBatches(sizes, 4, seed=2)) != first
