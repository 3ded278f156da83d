"""The comparison with SFTTrainer: the same tokens for both, and how much of them is computed. Rates
of a model this small are those of its overhead: the claim about speed is `marl-llm bench`'s, on the
embedded model."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_llm.algorithms import phase_bench
from marl_llm.algorithms.bench import benchmark, random_rows
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.training.batching import Sizes, pieces, sequence_cells


def test_rows_share_prompts_as_asked() -> None:
    rows = random_rows(10, 4, vocabulary=100)
    assert len(rows) == 10 and len({row.prompt_ids.tobytes() for row in rows}) == 3
    assert all(
        row.advantage.any() and len(row.logged_logprobs) == len(row.completion_ids) for row in rows
    )


def test_replay_computes_hardly_more_than_the_tokens_and_shared_prompts_once(
    base_dir: Path,
) -> None:
    alone, shared = benchmark(base_dir, rounds=1, rows=32, rows_per_prompt=[1, 8])
    assert shared.tokens == sum(row.tokens for row in random_rows(32, 8, 300))
    assert shared.ratio == pytest.approx(shared.replay_tokens_per_s / shared.sft_tokens_per_s)
    assert 1 <= alone.computed_share < 1.1 and alone.padding_share < 0.1
    assert shared.computed_share < 0.35 * alone.computed_share


def test_a_phases_rows_are_laid_out_as_an_iterations() -> None:
    """Of 16 rows of 450 tokens the Data Scientist's two prompts are computed once each, and of the
    Engineer's program
    all that its eight requests have in common."""
    cells = {DATA_SCIENTIST: 2 * (433 + 8 * 16), ML_ENGINEER: 330 + 8 * (95 + 2 * 24)}
    for role, expected in cells.items():
        rows = phase_bench.random_rows(role, 16, "")
        assert {row.tokens for row in rows} == {450}
        sizes = Sizes.of(
            [row.prompt_ids for row in rows], [len(row.completion_ids) for row in rows]
        )
        [piece] = pieces(sizes, 4096)
        assert sum(sequence_cells(sequence, sizes) for sequence in piece) == expected
