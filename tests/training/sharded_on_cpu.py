"""The worker, where accelerate takes a CPU for a GPU: it shards models on GPUs only, while PyTorch
also does so over gloo. `accelerate launch --config_file recipes/accelerate/fsdp.yaml THIS SPEC`.

Writes a file `sharded` beside the specification, with the share of the base model's weights that
this process held while it trained.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from marl_llm.algorithms.worker import main
from marl_llm.training import train_role

_init, _barrier = PartialState.__init__, torch.distributed.barrier


def _as_on_gpus(self: PartialState, *arguments: Any, **options: Any) -> None:
    _init(self, *arguments, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


def _held(model: torch.nn.Module) -> float:
    """Share of all weights that this process holds."""
    parts = [w.to_local() if isinstance(w, DTensor) else w for w in model.parameters()]
    whole = sum(weight.numel() for weight in model.parameters())
    return sum(part.numel() for part in parts) / whole


if __name__ == "__main__":
    spec, gathered = Path(sys.argv[1]), train_role.adapter_weights

    def noted(model: Any) -> dict[str, torch.Tensor]:
        spec.with_name("sharded").write_text(f"{_held(model):.3f}")
        return gathered(model)

    PartialState.__init__ = _as_on_gpus
    torch.distributed.barrier = lambda *_, **__: _barrier()
    train_role.adapter_weights = noted
    sys.exit(main(sys.argv[1:]))
