"""The comparison with SFTTrainer: the same tokens for both, and how much of them is computed. Rates of a model this
small are those of its overhead: the claim about speed is `marl-llm bench`'s, on the embedded model."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_llm.training.bench import benchmark, random_rows


def test_rows_share_prompts_as_asked() -> None:
    rows = random_rows(10, 4, vocabulary=100)
    assert len(rows) == 10 and len({row.prompt_ids.tobytes() for row in rows}) == 3
    assert all(row.advantage.any() and len(row.logged_logprobs) == len(row.completion_ids) for row in rows)


def test_replay_computes_hardly_more_than_the_tokens_and_shared_prompts_once(base_dir: Path) -> None:
    alone, shared = benchmark(base_dir, rounds=1, rows=32, rows_per_prompt=[1, 8])
    assert shared.tokens == sum(row.tokens for row in random_rows(32, 8, 300))
    assert shared.ratio == pytest.approx(shared.replay_tokens_per_s / shared.sft_tokens_per_s)
    assert 1 <= alone.computed_share < 1.1 and alone.padding_share < 0.1
    assert shared.computed_share < 0.35 * alone.computed_share
