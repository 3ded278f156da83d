"""LoRA on vLLM's CPU build as one matrix product per adapter in the batch; a row without an adapter
is left alone.

vLLM's own class copies the adapter's matrices once per token and looks them up by index, where -1,
no adapter, is the last slot. This one does the same work for whole groups of rows, which it finds
once per step. It imports torch and vllm: `cpu_lora.py` decides whether it is used. Layers it does
not know (mixtures of experts) vLLM has no CPU code for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

if TYPE_CHECKING:
    from vllm.lora.layers import LoRAMapping

Group = tuple[int, slice | torch.Tensor]
"""An adapter's slot and its rows; a slice where they are neighbours, which saves copies."""

_INHERITED = ("token_lora_indices", "sampler_indices", "_select_full_linear_output")
"""What is used of vLLM's class as it is."""


def groups(indices: torch.Tensor) -> list[Group]:
    """Rows of each adapter in a batch.

    Parameters
    ----------
    indices : LongTensor, shape (rows,)
        Slot of each row's adapter, -1 for none.
    """
    found: list[Group] = []
    for slot in torch.unique(indices).tolist():
        if slot >= 0:
            rows = (indices == slot).nonzero()[:, 0]
            first, end = int(rows[0]), int(rows[-1]) + 1
            found.append((slot, slice(first, end) if end - first == len(rows) else rows))
    return found


def _product(x: torch.Tensor, weights: torch.Tensor, slot: int) -> torch.Tensor:
    """`x` (rows, in) times one adapter of `weights` (slots, 1, out, in): (rows, out), in the
    precision of `x`.
    """
    return F.linear(x, weights[slot, 0].to(x.dtype))


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.view(-1, x.shape[-1])


class GroupedPunicaWrapper(PunicaWrapperCPU):
    """What LoRA layers call. Precisions are vLLM's: float32 between the two matrices, the output's
    own after them.
    """

    def __init__(
        self,
        max_num_batched_tokens: int,
        max_batches: int,
        device: torch.device | str,
        **kwargs: object,
    ) -> None:
        super().__init__(max_num_batched_tokens, max_batches, device, **kwargs)
        self._token_groups: list[Group] = []
        self._sampler_groups: list[Group] = []

    def update_metadata(
        self,
        mapping: LoRAMapping,
        lora_index_to_id: list[int | None],
        max_loras: int,
        vocab_size: int,
        **kwargs: object,
    ) -> None:
        """Note which rows of the coming step belong to which adapter."""
        super().update_metadata(mapping, lora_index_to_id, max_loras, vocab_size, **kwargs)
        self._token_groups = groups(self.token_lora_indices)
        self._sampler_groups = groups(self.sampler_indices)

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[torch.Tensor, ...] | None = None,
        **kwargs: object,
    ) -> None:
        """Add scale * x @ A[i] @ B[i] to slice i of y (tokens, sum of slices); `buffer` is not
        needed.

        `add_shrink` and `add_expand` in one: here nothing has to be exchanged between processes in
        between.
        """
        x, y = _flat(x), _flat(y)
        for slot, rows in self._token_groups:
            mine, start = x[rows].float(), 0
            for a, b, size in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
                low = _product(mine, a, slot) * scale
                y[:, start : start + size][rows] += _product(low.to(y.dtype), b, slot)
                start += size

    def add_shrink(
        self,
        y: Sequence[torch.Tensor] | torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        scale: float,
        **kwargs: object,
    ) -> None:
        """y[i] = scale * x @ A[i] in the rows of an adapter, for each slice i of a layer; y[i]:
        (tokens, rank).
        """
        x = _flat(x)
        for slot, rows in self._token_groups:
            mine = x[rows].to(y[0].dtype)
            for out, weights in zip(y, lora_a_stacked, strict=True):
                _flat(out)[rows] = _product(mine, weights, slot) * scale

    def add_expand(
        self,
        y: torch.Tensor,
        x: Sequence[torch.Tensor] | torch.Tensor,
        lora_b_stacked: tuple[torch.Tensor, ...],
        output_slices: tuple[int, ...],
        offset_start: int = 0,
        add_inputs: bool = True,
        **kwargs: object,
    ) -> None:
        """Add x[i] @ B[i] to slice i of y (tokens, sum of slices), or replace it, in the rows of an
        adapter.
        """
        y = _flat(y)
        for slot, rows in self._token_groups:
            start = offset_start
            for part, weights, size in zip(x, lora_b_stacked, output_slices, strict=True):
                out, more = (
                    y[:, start : start + size],
                    _product(part[rows].to(y.dtype), weights, slot),
                )
                out[rows] = out[rows] + more if add_inputs else more
                start += size

    def add_lora_embedding(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        add_inputs: bool = True,
        **kwargs: object,
    ) -> None:
        """Add x @ B to embeddings y (tokens, hidden); x holds the looked-up rows of A."""
        self.add_expand(y, (x,), (lora_b_stacked,), (y.shape[-1],), 0, add_inputs)

    def add_lora_logits(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        scale: float,
        *,
        buffer: torch.Tensor | None = None,
        **kwargs: object,
    ) -> None:
        """Add scale * x @ A @ B to logits y (requests, vocabulary), which may be padded; `buffer`
        is not needed.
        """
        x, y = _flat(x), _flat(y)
        common = min(y.shape[1], lora_b_stacked.shape[-2])
        for slot, rows in self._sampler_groups:
            low = _product(x[rows].float(), lora_a_stacked, slot) * scale
            y[rows, :common] += _product(low.to(y.dtype), lora_b_stacked, slot)[:, :common]

    def apply_lora_full_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        weight_stacked: torch.Tensor,
        bias_stacked: torch.Tensor,
        module_enabled: torch.Tensor,
    ) -> None:
        """Replace y (requests, out) by x @ W + bias where a request's adapter brings a whole
        layer.
        """
        full = torch.zeros(
            (x.size(0), weight_stacked.size(-2)), dtype=torch.float32, device=x.device
        )
        for slot, rows in self._sampler_groups:
            full[rows] = _product(x[rows].float(), weight_stacked, slot)
        y.copy_(self._select_full_linear_output(y, full, bias_stacked, module_enabled))


def misfit(theirs: type = PunicaWrapperCPU) -> str | None:
    """What in vLLM's class is not as this module knows it; None if all is."""
    for name, ours in vars(GroupedPunicaWrapper).items():
        if inspect.isfunction(ours) and _parameters(getattr(theirs, name, None)) != _parameters(
            ours
        ):
            return f"{theirs.__name__}.{name} takes other arguments"
    gone = [name for name in _INHERITED if not hasattr(theirs, name)]
    return f"{theirs.__name__} has no {gone[0]}" if gone else None


def _parameters(function: Callable[..., object] | None) -> list[str] | None:
    return None if function is None else list(inspect.signature(function).parameters)
