"""A batch of rows becomes the tensors that a loss reads: prompts padded on the left, completions on
the right, and the layout in which they are computed.

With several processes every one of them makes the same plan for the same batch and takes its share
of the pieces, so that a step's gradient is that of one process. They meet at the last piece, so all
have the same number of pieces, filled up with blank ones that weigh nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import torch

from marl_llm.training.batching import Piece, Sizes, piece_cells, pieces
from marl_llm.training.data import ReplayRow, sizes_of
from marl_llm.training.shared_prompts import lay_out


class PieceTensors(TypedDict):
    """One piece: B rows and the blank ones, P and T the longest prompt and completion.

    prompt_ids, prompt_mask (B, P) and completion_ids, completion_mask (B, T), int64;
    advantages, old_per_token_logps, sampling_per_token_logps and, where the rows have them,
    ref_per_token_logps (B, T), float32; with shared prompts `layout`, see `lay_out`.
    """

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    completion_ids: torch.Tensor
    completion_mask: torch.Tensor
    advantages: torch.Tensor
    old_per_token_logps: torch.Tensor
    sampling_per_token_logps: torch.Tensor
    ref_per_token_logps: NotRequired[torch.Tensor]
    layout: NotRequired[dict[str, torch.Tensor]]


class Collated(TypedDict):
    """One batch; the keys are those of `ReplayCollator.__call__`."""

    rows: int
    tokens: int
    logical: int
    packed: int
    cells: int
    pieces: list[PieceTensors]


class ReplayCollator:
    """Turns the rows of one batch into the pieces that this process computes.

    Parameters
    ----------
    pad_id : int
        Token of empty cells.
    batch_tokens : int, optional
        Most cells of one piece.
    share : bool
        Compute what prompts have in common once.
    processes, rank : int
        Processes that share the batch, and the number of this one.
    """

    def __init__(
        self,
        pad_id: int,
        *,
        batch_tokens: int | None = None,
        share: bool = True,
        processes: int = 1,
        rank: int = 0,
    ) -> None:
        self._pad_id, self._budget, self._share = pad_id, batch_tokens, share
        self._processes, self._rank = processes, rank

    def __call__(self, rows: Sequence[ReplayRow]) -> Collated:
        """Collate `rows`; they are not changed.

        Returns
        -------
        dict
            rows, tokens : counts of the whole batch, tokens of completions only. logical, packed,
            cells : tokens of prompts and completions row by row; cells that hold something; cells
            that are computed, of the whole batch.
            pieces : list of `PieceTensors`.
        """
        sizes = sizes_of(rows)
        plan = self._plan(sizes)
        cells = [piece_cells(piece, sizes) for piece in plan]
        return {
            "rows": len(rows),
            "tokens": int(sizes.completion.sum()),
            "logical": int(sizes.prompt.sum() + sizes.completion.sum()),
            "packed": sum(packed for packed, _ in cells),
            "cells": sum(padded for _, padded in cells),
            "pieces": [self._mine(rows, together) for together in self._rounds(plan)],
        }

    def numbered(self, rows: Sequence[ReplayRow]) -> list[tuple[np.ndarray, PieceTensors]]:
        """This process's pieces of `rows`, each with the numbers of its rows, of which a blank one
        has none."""
        found: list[tuple[np.ndarray, PieceTensors]] = []
        for together in self._rounds(self._plan(sizes_of(rows))):
            piece = self._own(together)
            numbers = np.concatenate([*piece, np.zeros(0, np.int64)])
            found.append((numbers, self._tensors(rows, piece, 0 if piece else 1)))
        return found

    def _rounds(self, plan: list[Piece]) -> list[list[Piece]]:
        """One piece for each process at a time; the last round may not be enough for all."""
        return [plan[i : i + self._processes] for i in range(0, len(plan), self._processes)]

    def _plan(self, sizes: Sizes) -> list[Piece]:
        return pieces(sizes, self._budget, share=self._share, at_least=self._processes)

    def _mine(self, rows: Sequence[ReplayRow], together: list[Piece]) -> PieceTensors:
        numbers, piece = [np.concatenate(piece) for piece in together], self._own(together)
        height = max(len(rows_of) for rows_of in numbers)
        return self._tensors(rows, piece, height - sum(len(sequence) for sequence in piece))

    def _own(self, together: list[Piece]) -> Piece:
        return together[self._rank] if self._rank < len(together) else []

    def _tensors(self, rows: Sequence[ReplayRow], piece: Piece, blanks: int) -> PieceTensors:
        sequences = [[rows[i] for i in sequence] for sequence in piece]
        mine = [row for sequence in sequences for row in sequence]
        ids, numbers = np.zeros(0, np.int64), np.zeros(0, np.float32)
        prompts = [row.prompt_ids for row in mine] + [np.full(1, self._pad_id, np.int64)] * blanks
        completions = [row.completion_ids for row in mine] + [ids] * blanks

        def columns(arrays: list[np.ndarray]) -> torch.Tensor:
            return _pad(arrays + [numbers] * blanks, 0.0)

        batch: PieceTensors = {
            "prompt_ids": _pad(prompts, self._pad_id, left=True),
            "prompt_mask": _pad([np.ones_like(prompt) for prompt in prompts], 0, left=True),
            "completion_ids": _pad(completions, self._pad_id),
            "completion_mask": _pad([np.ones_like(completion) for completion in completions], 0),
            "advantages": columns([row.advantage for row in mine]),
            "old_per_token_logps": columns([row.old_logprobs for row in mine]),
            "sampling_per_token_logps": columns([row.logged_logprobs for row in mine]),
        }
        reference = [row.reference_logprobs for row in mine if row.reference_logprobs is not None]
        if len(reference) == len(mine) and any(row.reference_logprobs is not None for row in rows):
            batch["ref_per_token_logps"] = columns(reference)
        if self._share:
            layout = lay_out(sequences, batch["completion_ids"].shape[1], self._pad_id)
            layout["cells"] = torch.nn.functional.pad(layout["cells"], (0, 0, 0, blanks), value=-1)
            batch["layout"] = layout
        return batch


def _pad(arrays: Sequence[np.ndarray], value: float, *, left: bool = False) -> torch.Tensor:
    width = max(1, *(len(array) for array in arrays))
    out = np.full((len(arrays), width), value, dtype=arrays[0].dtype)
    for line, array in zip(out, arrays, strict=True):
        if left:
            line[width - len(array) :] = array
        else:
            line[: len(array)] = array
    return torch.from_numpy(out)
