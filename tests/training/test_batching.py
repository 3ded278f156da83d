"""Batches and pieces: every row once, groups together, little padding, budgets kept, an order that follows the seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.training.batching import StepBatches, piece_cells, pieces, same_prompt, sequence_cells, step_batches


def _rows(groups: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompt number, prompt and completion lengths of `groups` groups of `size` rows."""
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(groups), size)
    return prompt, rng.integers(50, 300, groups)[prompt], rng.integers(2, 30, groups * size)


def test_prompts_are_told_apart_by_their_tokens() -> None:
    prompts = [np.array(ids) for ids in ([1, 2], [1, 2, 3], [1, 2], [2, 1])]
    assert same_prompt(prompts).tolist() == [0, 1, 0, 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=70), st.integers(1, 12), st.integers(0, 5))
def test_every_row_comes_once_in_the_promised_number_of_batches(prompt: list[int], batch_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batches = step_batches(np.array(prompt, int), rng.integers(1, 50, len(prompt)), batch_rows, rng)
    assert len(batches) == -(-len(prompt) // batch_rows) and all(len(batch) for batch in batches)
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(prompt)))


def test_rows_of_one_prompt_share_a_batch_and_batches_are_of_equal_size() -> None:
    prompt, prompts, completions = _rows(50, 8)
    batches = step_batches(prompt, prompts + completions, 64, np.random.default_rng(0))
    assert sum(len(set(prompt[batch])) for batch in batches) == 50
    assert len(batches) == 7 and all(48 <= len(batch) <= 64 for batch in batches)


def test_a_group_larger_than_a_batch_is_split() -> None:
    batches = step_batches(np.zeros(20, int), np.full(20, 9), 8, np.random.default_rng(0))
    assert sorted(map(len, batches)) == [6, 7, 7]


def test_groups_of_similar_lengths_share_batches() -> None:
    prompt, prompts, completions = _rows(64, 4)
    spread = [
        np.ptp(prompts[batch]) for batch in step_batches(prompt, prompts + completions, 16, np.random.default_rng(0))
    ]
    assert np.mean(spread) < 60 < 0.5 * np.ptp(prompts)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(1, 9), st.integers(100, 3000), st.booleans(), st.integers(1, 4))
def test_pieces_hold_every_row_once_and_keep_the_budget(
    groups: int, size: int, budget: int, share: bool, processes: int
) -> None:
    prompt, prompts, completions = _rows(groups, size)
    plan = pieces(prompt, prompts, completions, budget, share=share, at_least=processes)
    rows = [row for piece in plan for sequence in piece for row in sequence.tolist()]
    assert sorted(rows) == list(range(groups * size))
    for piece in plan:
        alone = len(piece) == 1 and len(piece[0]) == 1
        assert piece_cells(piece, prompts, completions)[1] <= budget or alone
        assert all(len(set(prompt[sequence])) == 1 for sequence in piece)
        assert share or all(len(sequence) == 1 for sequence in piece)


def test_cells_by_hand() -> None:
    prompts, completions = np.array([5, 5, 3]), np.array([2, 3, 4])
    shared, alone = np.array([0, 1]), np.array([2])
    assert sequence_cells(shared, prompts, completions) == 4 + 2 + 3
    assert sequence_cells(alone, prompts, completions) == 2 + 4
    assert piece_cells([shared, alone], prompts, completions) == (15, 18)


def test_a_prompt_is_computed_once_and_little_is_padding() -> None:
    prompt, prompts, completions = _rows(64, 8)
    shared = [piece_cells(piece, prompts, completions) for piece in pieces(prompt, prompts, completions, 4096)]
    alone = [piece_cells(p, prompts, completions) for p in pieces(prompt, prompts, completions, 4096, share=False)]
    packed, cells = np.sum(shared, axis=0)
    assert packed == sum(prompts[::8] - 1) + completions.sum() and packed < 0.3 * np.sum(alone, axis=0)[0]
    assert 1 - packed / cells < 0.1


def test_long_completions_are_not_strung_together_where_attention_would_cost_more_than_the_prompt() -> None:
    count = np.full(8, 100)
    [piece] = pieces(np.zeros(8, int), count, np.full(8, 2000))
    assert len(piece) == 8
    [piece] = pieces(np.zeros(8, int), count, np.full(8, 10))
    assert len(piece) == 1


def test_every_process_gets_a_piece() -> None:
    prompt, prompts, completions = _rows(16, 4)
    assert len(pieces(prompt, prompts, completions)) == 1
    assert len(pieces(prompt, prompts, completions, at_least=4)) >= 4


def test_epochs_differ_and_seeds_repeat() -> None:
    prompt, prompts, completions = _rows(20, 2)
    one, two = (StepBatches(prompt, prompts + completions, 4, seed=1) for _ in range(2))
    first = list(one)
    assert first == list(two) == list(one) and len(one) == len(first) == 10
    one.set_epoch(1)
    assert list(one) != first
    assert list(StepBatches(prompt, prompts + completions, 4, seed=2)) != first
