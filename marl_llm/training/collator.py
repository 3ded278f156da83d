"""Rows become the tensors that TRL's loss reads: prompts padded on the left, completions on the right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from marl_llm.training.data import ReplayRow


class ReplayCollator:
    """Turns B rows into the dictionary `GRPOTrainer._compute_loss` reads; P and T are the longest prompt and
    completion.

    Keys: prompt_ids, prompt_mask (B, P) and completion_ids, completion_mask (B, T), int64; advantages,
    old_per_token_logps, sampling_per_token_logps and, where the rows have them, ref_per_token_logps (B, T), float32.
    """

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, rows: Sequence[ReplayRow]) -> dict[str, torch.Tensor]:
        """Collate `rows`; they are not changed."""
        prompts = [row.prompt_ids for row in rows]
        completions = [row.completion_ids for row in rows]
        batch = {
            "prompt_ids": _pad(prompts, self._pad_id, left=True),
            "prompt_mask": _pad([np.ones_like(ids) for ids in prompts], 0, left=True),
            "completion_ids": _pad(completions, self._pad_id),
            "completion_mask": _pad([np.ones_like(ids) for ids in completions], 0),
            "advantages": _pad([row.advantage for row in rows], 0.0),
            "old_per_token_logps": _pad([row.old_logprobs for row in rows], 0.0),
            "sampling_per_token_logps": _pad([row.logged_logprobs for row in rows], 0.0),
        }
        reference = [row.reference_logprobs for row in rows if row.reference_logprobs is not None]
        if len(reference) == len(rows):
            batch["ref_per_token_logps"] = _pad(reference, 0.0)
        return batch


def _pad(arrays: Sequence[np.ndarray], value: float, *, left: bool = False) -> torch.Tensor:
    width = max(len(array) for array in arrays)
    out = np.full((len(arrays), width), value, dtype=arrays[0].dtype)
    for line, array in zip(out, arrays, strict=True):
        if left:
            line[width - len(array) :] = array
        else:
            line[: len(array)] = array
    return torch.from_numpy(out)
