"""Prompts computed once: the layout of several completions behind what their prompts have in
common.

A sequence is `[prompt but its last token | last prompt token, completion 1 but its last | last
prompt token, completion 2 but its last | ...]`; of a next prompt that begins as the one before only
the rest is added, `[... | rest of prompt 2 but its last token | its last token, completion 3 but
its last | ...]`. A token sees its own prompt and what comes before it in its own completion, and
has the position it would have in a row of its own; so every token's log-probability, entropy and
gradient are those of the row computed alone, to float error. Repeating the prompt's last token
gives each completion a cell that predicts its first token, at no cost, as a completion's last token
predicts nothing.

Logits are computed at the cells that predict something only: with a vocabulary of 150,000 the head
costs as much as a third of a small model, and a prompt has many times the cells of a completion.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from marl_llm.training.batching import common_prefix
from marl_llm.training.data import ReplayRow

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORED = -100
"""The label of cells that predict nothing: the prompt and the padding."""

_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})


def can_share(model: PreTrainedModel) -> bool:
    """Whether a model's attention takes a mask of our own and has no other memory of earlier
    tokens.

    True for the listed architectures with full attention by PyTorch ("sdpa") or "eager"; any other
    model computes each row by itself.
    """
    config = model.config
    full = all(
        kind == "full_attention"
        for kind in getattr(config, "layer_types", None) or ["full_attention"]
    )
    sliding = getattr(config, "sliding_window", None) is not None and getattr(
        config, "use_sliding_window", True
    )
    return (
        config.model_type in _TYPES
        and config._attn_implementation in ("sdpa", "eager")
        and full
        and not sliding
    )


def lay_out(
    sequences: Sequence[Sequence[ReplayRow]], width: int, pad_id: int
) -> dict[str, torch.Tensor]:
    """Put S sequences of rows into a rectangle of L cells.

    Parameters
    ----------
    sequences : sequence of sequences of ReplayRow
        B rows in all, those of a sequence in lexicographic order of their prompts; none: a
        rectangle of one empty cell.
    width : int
        T, columns of `cells`; at least the longest completion.
    pad_id : int
        Token of empty cells.

    Returns
    -------
    dict of tensors
        ids, positions, labels : int64, shape (S, L).
        seen : bool, shape (S, L, L); whether a cell (second axis) sees another (third). Empty cells
        see themselves.
        filled : bool, shape (S, L); False for empty cells.
        cells : int64, shape (B, T); the flat number of the cell that predicts a completion's token,
        -1 beyond its end.
    """
    sequences = sequences or [[]]
    trees = [_Tree() for _ in sequences]
    starts = [[tree.add(row) for row in rows] for tree, rows in zip(trees, sequences, strict=True)]
    length = max(1, *(len(tree.ids) for tree in trees))
    shape = len(trees), length
    ids, positions = np.full(shape, pad_id, np.int64), np.zeros(shape, np.int64)
    labels, filled = np.full(shape, IGNORED, np.int64), np.zeros(shape, bool)
    seen = np.zeros((*shape, length), bool)
    seen[:] = np.eye(length, dtype=bool)
    for line, tree in enumerate(trees):
        own = slice(0, len(tree.ids))
        ids[line, own], positions[line, own], labels[line, own] = (
            tree.ids,
            tree.positions,
            tree.labels,
        )
        filled[line, own] = True
        tree.mark(seen[line])
    cells = np.full((sum(len(rows) for rows in sequences), width), -1, np.int64)
    firsts = [line * length + start for line, mine in enumerate(starts) for start in mine]
    for line, first, row in zip(cells, firsts, itertools.chain(*sequences), strict=True):
        line[: len(row.completion_ids)] = first + np.arange(len(row.completion_ids))
    named = {
        "ids": ids,
        "positions": positions,
        "labels": labels,
        "seen": seen,
        "filled": filled,
        "cells": cells,
    }
    return {name: torch.from_numpy(array) for name, array in named.items()}


class _Tree:
    """One sequence while rows are added to it: its cells, and of each stretch of them which earlier
    ones it sees.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.labels: list[int] = []
        self._stretches: list[tuple[int, int, np.ndarray]] = []
        self._prompt, self._path = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, row: ReplayRow) -> int:
        """Add what is new of the row's prompt, and its completion; returns the cell that predicts
        the first token.
        """
        prompt = np.asarray(row.prompt_ids[:-1])
        common = common_prefix(self._prompt, prompt)
        path = self._path[:common]
        new = self._stretch(
            prompt[common:].tolist(), [IGNORED] * (len(prompt) - common), common, path
        )
        self._prompt, self._path = prompt, np.concatenate([path, np.arange(new, len(self.ids))])
        completion = row.completion_ids.tolist()
        return self._stretch(
            [int(row.prompt_ids[-1]), *completion[:-1]], completion, len(prompt), self._path
        )

    def _stretch(self, ids: list[int], labels: list[int], position: int, path: np.ndarray) -> int:
        start = len(self.ids)
        self.ids += ids
        self.labels += labels
        self.positions += range(position, position + len(ids))
        self._stretches.append((start, len(self.ids), path))
        return start

    def mark(self, seen: np.ndarray) -> None:
        """Write who sees whom into bool cells of shape (L, L)."""
        for start, end, path in self._stretches:
            seen[start:end, path] = True
            seen[start:end, start:end] = np.tri(end - start, dtype=bool)


def attention(seen: torch.Tensor, implementation: str | None, dtype: torch.dtype) -> torch.Tensor:
    """Who sees whom, as the model takes it: shape (S, 1, L, L), bool for "sdpa", added to the
    scores for "eager".
    """
    mask = seen[:, None]
    if implementation == "sdpa":
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(
        ~mask, torch.finfo(dtype).min
    )
