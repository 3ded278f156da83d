"""Samples of rows for the gate and the divergence of a phase: few prompts, no row twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.training.data import ReplayRow
from marl_llm.training.sample import ROWS_PER_PROMPT, sample_rows


def row(prompt: int) -> ReplayRow:
    one = np.ones(1, np.float32)
    ids = np.array([prompt], np.int64)
    return ReplayRow("r", ids, ids, one, one, "a", {})


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(0, 70), st.integers(0, 9))
def test_as_many_rows_as_there_are_each_once_and_of_few_prompts(prompts, most, seed):
    chosen = sample_rows([row(p) for p in prompts], most, seed)
    assert len(chosen) == min(most, len(prompts)) and list(chosen) == sorted(set(chosen.tolist()))
    counts = np.bincount([prompts[i] for i in chosen], minlength=6)
    there = np.bincount(np.array(prompts, int), minlength=6)
    for taken, all_of_it in zip(counts, there, strict=True):
        if taken > ROWS_PER_PROMPT:  # only where no other prompt had rows left within its share
            assert (np.minimum(there, ROWS_PER_PROMPT) <= counts).all() and taken <= all_of_it


def test_sixty_four_rows_of_groups_of_eight_are_of_sixteen_prompts():
    rows = [row(i // 8) for i in range(320)]
    chosen = sample_rows(rows, 64, 0)
    assert len({i // 8 for i in chosen}) == 16
    assert list(chosen) == list(sample_rows(rows, 64, 0)) != list(sample_rows(rows, 64, 1))
