"""The comparison with SFTTrainer: the same tokens for both, and fast enough where prompts are shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_llm.training.bench import benchmark, random_rows


def test_rows_share_prompts_as_asked() -> None:
    rows = random_rows(10, 4, vocabulary=100)
    assert len(rows) == 10 and len({row.prompt_ids.tobytes() for row in rows}) == 3
    assert all(row.advantage.any() and len(row.logged_logprobs) == len(row.completion_ids) for row in rows)


def test_replay_is_at_least_nearly_as_fast_as_sft_on_the_same_tokens(base_dir: Path) -> None:
    [rate] = benchmark(base_dir, rounds=1, rows=32, rows_per_prompt=[8])
    assert rate.tokens == sum(row.tokens for row in random_rows(32, 8, 300))
    assert rate.ratio == pytest.approx(rate.replay_tokens_per_s / rate.sft_tokens_per_s)
    assert rate.ratio > 0.8 and rate.computed_share < 0.35
