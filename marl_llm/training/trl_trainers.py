"""TRL's trainers, imported without vLLM.

Where vLLM is installed, TRL imports it to generate with. Nothing is generated here, and vLLM would
be half of what the start of a training process costs.
"""

from __future__ import annotations

from trl import import_utils


def _no_vllm(min_version: str | None = None) -> bool:
    """Stands for `trl.import_utils.is_vllm_available` while the trainers are imported."""
    return False


_found = import_utils.is_vllm_available
import_utils.is_vllm_available = _no_vllm
try:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
finally:
    import_utils.is_vllm_available = _found

__all__ = ["DPOConfig", "DPOTrainer", "GRPOConfig", "GRPOTrainer"]
