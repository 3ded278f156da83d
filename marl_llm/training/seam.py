"""Typed access to transformers, accelerate and datasets for the strictly checked `algorithms`: what
these libraries leave untyped ends here. Imports of them are slow, so none is made at import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset
    from peft import PeftModel
    from transformers import PretrainedConfig

    from marl_llm.training.trl_adapter import ReplayTrainer


def trained_policy(trainer: ReplayTrainer) -> PeftModel:
    """The trainer's policy, without what accelerate wraps around it."""
    return trainer.accelerator.unwrap_model(trainer.policy)


def weights_of(policy: PeftModel) -> tuple[int, int]:
    """How many weights the blocks of the base model have, without adapters, and how many its
    head."""
    from marl_llm.training.loading import base_of

    base = base_of(policy)
    blocks = sum(
        weights.numel()
        for name, weights in base.named_parameters()
        if ".layers." in name and "lora" not in name
    )
    head = base.get_output_embeddings()
    return blocks, 0 if head is None else head.weight.numel()


def save_random_model(config: PretrainedConfig, directory: Path) -> None:
    """Write a model of this configuration with random weights in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(directory)


def dataset_of(rows: Sequence[dict[str, list[int]]]) -> Dataset:
    """A dataset of rows that have the same keys."""
    from datasets import Dataset

    return Dataset.from_list(list(rows))


def accelerate_launch(arguments: list[str]) -> None:
    """`accelerate launch` with these arguments, in this process.

    Raises
    ------
    torch.distributed.elastic.multiprocessing.errors.ChildFailedError
        One of the processes it started failed.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser

    launch_command(launch_command_parser().parse_args(arguments))


def accelerate_kind(config: str) -> str:
    """The `distributed_type` of a file of `accelerate config`."""
    from accelerate.commands.config.config_args import load_config_from_file

    return str(load_config_from_file(config).distributed_type.value)
