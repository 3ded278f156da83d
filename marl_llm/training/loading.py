"""What the phases share: the base with an adapter on it, the arguments that every trainer of transformers takes, and a
record of its steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.precision import Precision, cpu_precision
from marl_llm.training.config import TrainConfig
from marl_llm.training.quiet import quiet_libraries

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase


def precision_of(config: TrainConfig, base_dir: Path) -> Precision:
    """The precision that `auto` means for this model on this machine."""
    import torch

    if config.precision != "auto":
        return config.precision
    return "bfloat16" if torch.cuda.is_available() else cpu_precision(base_dir)


def load_policy(base_dir: Path, adapter_dir: Path, config: TrainConfig) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """The base model with a trainable adapter called "default", and the tokenizer.

    Raises
    ------
    UserError
        `base_dir` holds no model.
    """
    quiet_libraries()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (Path(base_dir) / "config.json").is_file():
        raise UserError(f"{base_dir}: no model here, config.json is missing.")
    base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=getattr(torch, precision_of(config, base_dir)))
    tokenizer = AutoTokenizer.from_pretrained(base_dir)
    return PeftModel.from_pretrained(base, str(adapter_dir), adapter_name="default", is_trainable=True), tokenizer


def trainer_arguments(config: TrainConfig, base_dir: Path, workdir: Path, seed: int) -> dict[str, Any]:
    """Arguments of `transformers.TrainingArguments` that follow from the configuration, whatever the algorithm."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(workdir),
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.lr_scheduler if config.lr_scheduler != "constant" else "constant_with_warmup",
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_rows,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": precision_of(config, base_dir) == "bfloat16",
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "seed": seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def require_finite(history: list[dict[str, float]]) -> None:
    """Refuse to go on after a step whose `loss` or `grad_norm` is no number.

    Raises
    ------
    RunFailed
        Names the first such step.
    """
    for entry in history:
        if not (math.isfinite(entry["loss"]) and math.isfinite(entry.get("grad_norm", 0.0))):
            raise RunFailed(
                f"training diverged at step {entry['step']:.0f}: loss {entry['loss']}, gradient norm "
                f"{entry.get('grad_norm')}; nothing was published. Lower its role's learning_rate and run again."
            )
