"""Shape of a Qwen3 model as its `config.json` says, and what of it this process cannot compute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_llm.core.errors import UserError


@dataclass(frozen=True)
class Qwen3Config:
    """A dense Qwen3.

    Attributes
    ----------
    layers, heads, kv_heads, head_dim, vocabulary : int
        Sizes; each key and value head serves `heads / kv_heads` query heads.
    context : int
        Most positions the model was made for.
    theta : float
        Base of the rotary frequencies.
    epsilon : float
        Added to the mean square in each RMS norm.
    tied : bool
        Whether the output layer is the embedding.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    theta: float
    epsilon: float
    tied: bool


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model's or an adapter's directory.

    Raises
    ------
    UserError
        The file is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}): get it again."
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is no JSON object: get it again.")
    return content


def rotary(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parameters of the rotary embedding, where transformers 5 or an older version has written
    them.
    """
    older = {"rope_theta": config.get("rope_theta", 10_000.0), **(config.get("rope_scaling") or {})}
    return config.get("rope_parameters") or older


def unsupported(config: Mapping[str, object]) -> str | None:
    """What in a `config.json` this process cannot compute; None if it can."""
    if config.get("model_type") != "qwen3":
        return f"its architecture is {config.get('model_type')!r}, not 'qwen3'"
    if rotary(config).get("rope_type", "default") != "default":
        return "it scales its rotary embedding"
    if (
        config.get("use_sliding_window")
        or config.get("attention_bias")
        or config.get("quantization_config")
    ):
        return "it has sliding windows, attention biases or quantized weights"
    return (
        None
        if config.get("hidden_act") == "silu"
        else f"its activation is {config.get('hidden_act')!r}"
    )


def read_config(directory: Path) -> Qwen3Config:
    """The configuration of a model directory.

    Raises
    ------
    UserError
        It is missing, incomplete, or of a model that cannot be computed here.
    """
    path = directory / "config.json"
    raw = read_json(path)
    if reason := unsupported(raw):
        raise UserError(
            f"{directory} cannot be played in this process, {reason}: set "
            "serving.in_process_parameters 0."
        )
    try:
        return Qwen3Config(
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            kv_heads=raw["num_key_value_heads"],
            head_dim=raw["head_dim"],
            vocabulary=raw["vocab_size"],
            context=raw["max_position_embeddings"],
            theta=rotary(raw)["rope_theta"],
            epsilon=raw["rms_norm_eps"],
            tied=raw["tie_word_embeddings"],
        )
    except KeyError as error:
        raise UserError(f"{path} has no {error}: get the model again.") from None
