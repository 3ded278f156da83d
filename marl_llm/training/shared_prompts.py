"""Prompts computed once: the layout of several completions behind their common prompt, and their log-probabilities.

A sequence is `[prompt but its last token | last prompt token, completion 1 but its last | last prompt token, completion
2 but its last | ...]`. A token sees the prompt and what comes before it in its own part, and has the position it would
have in a row of its own; so every token's log-probability, entropy and gradient are those of the row computed alone, to
float error. Repeating the prompt's last token gives each completion a cell that predicts its first token, at no cost,
as a completion's last token predicts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from marl_llm.training.data import ReplayRow

IGNORED = -100
"""The label of cells that predict nothing: the prompt and the padding."""

_PADDING = -1
"""The part of empty cells, and the cell of tokens that are not there."""
_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})


def can_share(model: Any) -> bool:
    """Whether a model's attention takes a mask of our own and has no other memory of earlier tokens.

    True for the listed architectures with full attention by PyTorch ("sdpa") or "eager"; any other model computes each
    row by itself.
    """
    config = model.config
    full = all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or ["full_attention"])
    sliding = getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
    return config.model_type in _TYPES and config._attn_implementation in ("sdpa", "eager") and full and not sliding


def lay_out(sequences: Sequence[Sequence[ReplayRow]], width: int, pad_id: int) -> dict[str, torch.Tensor]:
    """Put S sequences of rows, each with one prompt, into a rectangle of L cells.

    Parameters
    ----------
    sequences : sequence of sequences of ReplayRow
        B rows in all; none: a rectangle of one empty cell.
    width : int
        T, columns of `cells`; at least the longest completion.
    pad_id : int
        Token of empty cells.

    Returns
    -------
    dict of int64 tensors
        ids, positions, labels, parts of shape (S, L): the part of a cell is 0 for the prompt, 1, 2, ... for the
        completions, -1 for padding. cells, shape (B, T): the flat number of the cell that predicts a completion's
        token, -1 beyond its end.
    """
    needed = [len(rows[0].prompt_ids) - 1 + sum(len(row.completion_ids) for row in rows) for rows in sequences]
    length = max(needed, default=1)
    shape = max(len(sequences), 1), length
    ids, positions = np.full(shape, pad_id, np.int64), np.zeros(shape, np.int64)
    labels, parts = np.full(shape, IGNORED, np.int64), np.full(shape, _PADDING, np.int64)
    cells = np.full((sum(len(rows) for rows in sequences), width), _PADDING, np.int64)
    number = 0
    for line, rows in enumerate(sequences):
        prompt = rows[0].prompt_ids
        end = len(prompt) - 1
        ids[line, :end], positions[line, :end], parts[line, :end] = prompt[:-1], np.arange(end), 0
        for part, row in enumerate(rows, start=1):
            tokens = len(row.completion_ids)
            own = slice(end, end + tokens)
            ids[line, own] = [prompt[-1], *row.completion_ids[:-1]]
            positions[line, own] = np.arange(len(prompt) - 1, len(prompt) - 1 + tokens)
            labels[line, own], parts[line, own] = row.completion_ids, part
            cells[number, :tokens] = line * length + np.arange(end, end + tokens)
            end, number = end + tokens, number + 1
    named = {"ids": ids, "positions": positions, "labels": labels, "parts": parts, "cells": cells}
    return {name: torch.from_numpy(array) for name, array in named.items()}


def attention(parts: torch.Tensor, implementation: str, dtype: torch.dtype) -> torch.Tensor:
    """Who sees whom: shape (S, 1, L, L), bool for "sdpa", added to the scores in `dtype` for "eager"."""
    query, key = parts[:, :, None], parts[:, None, :]
    length = parts.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=parts.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=parts.device)  # padding must see something
    seen = (earlier & ((key == 0) | (key == query)) & (key != _PADDING) | itself)[:, None]
    if implementation == "sdpa":
        return seen
    return torch.zeros(seen.shape, dtype=dtype, device=parts.device).masked_fill(~seen, torch.finfo(dtype).min)


def shared_logps(
    model: Any, layout: dict[str, torch.Tensor], implementation: str, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probabilities and entropies (None if the head gives none), shape (B, T), nats, 0 beyond a completion's end.

    `model` has TRL's fused head, which divides logits by the training temperature.
    """
    outputs = model(
        input_ids=layout["ids"],
        position_ids=layout["positions"],
        attention_mask=attention(layout["parts"], implementation, dtype),
        shift_labels=layout["labels"],
        fused_lm_head=True,
    )
    cells = layout["cells"]

    def rows(values: torch.Tensor) -> torch.Tensor:
        return values.reshape(-1)[cells.clamp(min=0)].masked_fill(cells < 0, 0)

    return rows(outputs.log_probs), None if outputs.entropy is None else rows(outputs.entropy)
