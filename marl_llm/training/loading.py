"""What the phases share: the base with an adapter on it, and the arguments that every trainer of
transformers takes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.precision import Precision, cpu_precision
from marl_llm.training.config import PrecisionChoice, TrainConfig
from marl_llm.training.quiet import quiet_libraries

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def precision_of(choice: PrecisionChoice, base_dir: Path) -> Precision:
    """The precision that `auto` means for this model on this machine."""
    import torch

    if choice != "auto":
        return choice
    return "bfloat16" if torch.cuda.is_available() else cpu_precision(base_dir)


def load_policy(
    base_dir: Path, adapter_dir: Path, precision: PrecisionChoice
) -> tuple[PeftModel, PreTrainedTokenizerBase]:
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
    dtype = getattr(torch, precision_of(precision, base_dir))
    base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=dtype)
    model = PeftModel.from_pretrained(
        base, str(adapter_dir), adapter_name="default", is_trainable=True
    )
    return model, AutoTokenizer.from_pretrained(base_dir)


def base_of(model: PeftModel) -> PreTrainedModel:
    """The transformer that carries the adapter."""
    from transformers import PreTrainedModel

    base = model.get_base_model()
    assert isinstance(base, PreTrainedModel), type(base)
    return base


def trainer_arguments(
    config: TrainConfig, base_dir: Path, workdir: Path, seed: int
) -> dict[str, Any]:
    """Arguments of `transformers.TrainingArguments` that follow from the configuration."""
    import torch

    cuda, constant = torch.cuda.is_available(), config.lr_scheduler == "constant"
    return {
        "output_dir": str(workdir),
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if constant else config.lr_scheduler,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_rows,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": precision_of(config.precision, base_dir) == "bfloat16",
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "ddp_find_unused_parameters": False,
        "seed": seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        **saving(config.checkpoint_steps),
    }


def saving(checkpoint_steps: int | None) -> dict[str, object]:
    """How often checkpoints are written; two are kept, as the latest may be half written."""
    if checkpoint_steps is None:
        return {"save_strategy": "no"}
    return {"save_strategy": "steps", "save_steps": checkpoint_steps, "save_total_limit": 2}


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
                f"training diverged at step {entry['step']:.0f}: loss {entry['loss']}, gradient "
                f"norm {entry.get('grad_norm')}; nothing was published. Lower its role's "
                "learning_rate and run again."
            )
