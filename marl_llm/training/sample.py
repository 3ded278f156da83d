"""A sample of rows that is cheap to score: few prompts, several completions of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from marl_llm.training.data import ReplayRow

ROWS_PER_PROMPT = 4
"""Largest number of rows of one prompt. A prompt is computed once however many completions it has,
and is most of what is computed: 64 rows of 16 prompts cost a quarter of 64 rows of 64 prompts."""


def sample_rows(rows: Sequence[ReplayRow], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Positions of up to `most` rows, int64, ascending: up to `ROWS_PER_PROMPT` of each of some
    prompts drawn at random; more of each only where there are too few prompts.
    """
    rng = np.random.default_rng(seed)
    of_prompt: dict[bytes, list[int]] = {}
    for i in rng.permutation(len(rows)):
        of_prompt.setdefault(rows[i].prompt_ids.tobytes(), []).append(int(i))
    rounds = [
        i
        for k in range(0, len(rows), ROWS_PER_PROMPT)
        for rest in of_prompt.values()
        for i in rest[k : k + ROWS_PER_PROMPT]
    ]
    return np.sort(np.array(rounds[:most], np.int64))
