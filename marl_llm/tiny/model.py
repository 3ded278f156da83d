"""Architecture of the embedded model, and its start.

A Qwen3 of four layers. The start is not blank: the heads of layer 0 look one token back and those
of layer 1 match and copy (an induction circuit, Olsson et al. 2022), because copying from the
prompt is what both roles mostly do and a small model takes a million tokens to find it by itself.
Every weight trains from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention


@dataclass(frozen=True)
class TinySize:
    """Sizes of the embedded model: hidden width, layers, feed-forward width, width of a head."""

    hidden: int = 128
    layers: int = 4
    intermediate: int = 384
    head: int = 32


ROPE_THETA = 1e6
"""A large base keeps enough slow rotary pairs in 32-wide heads for matching by content."""
_LOOK_BACK = (0.35, 0.25, 0.2, 0.1, 0.1)


def new_model(tokenizer: PreTrainedTokenizerFast, size: TinySize, seed: int) -> Qwen3ForCausalLM:
    """An untrained model for this tokenizer, float32, with the copying start."""
    torch.manual_seed(seed)
    heads = size.hidden // size.head
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        intermediate_size=size.intermediate,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=size.head,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        attn_implementation="sdpa",  # pyright: ignore[reportCallIssue]
    )
    model = Qwen3ForCausalLM(config)
    model.float()
    assert model.generation_config is not None
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0, 0.05)
        for layer in range(size.layers):
            attention = _attention(model, layer)
            attention.q_norm.weight.fill_(1.6)
            attention.k_norm.weight.fill_(1.6)
        _wire(model, size)
    return model


def _attention(model: Qwen3ForCausalLM, layer: int) -> Qwen3Attention:
    attention = model.model.layers[layer].self_attn
    assert isinstance(attention, Qwen3Attention), type(attention)
    return attention


def _wire(model: Qwen3ForCausalLM, size: TinySize) -> None:
    """Half of the residual stream carries the token, the other half the previous token."""
    half_width = size.hidden // 2 - 1
    theta = [ROPE_THETA ** (-i / (size.head // 2)) for i in range(size.head // 2)]
    embeddings = model.model.embed_tokens.weight
    embeddings[:, 0] = 0.3
    embeddings[:, 1 + half_width :] *= 0.2
    _wire_previous_token(_attention(model, 0), size, half_width, theta)
    _wire_match_and_copy(_attention(model, 1), size, half_width, theta)


def _wire_previous_token(
    attention: Qwen3Attention, size: TinySize, half_width: int, theta: list[float]
) -> None:
    head, half = size.head, size.head // 2
    attention.q_norm.weight.fill_(2.0)
    attention.k_norm.weight.fill_(2.0)
    for h in range(math.ceil(half_width / head)):
        rows = slice(h * head, (h + 1) * head)
        attention.q_proj.weight[rows] *= 0.1
        attention.k_proj.weight[rows] *= 0.1
        attention.v_proj.weight[rows] = 0
        attention.o_proj.weight[:, rows] = 0
        for i, weight in enumerate(_LOOK_BACK):
            attention.k_proj.weight[h * head + i, 0] = weight**0.5
            attention.q_proj.weight[h * head + i, 0] = weight**0.5 * math.cos(theta[i])
            attention.q_proj.weight[h * head + half + i, 0] = -(weight**0.5) * math.sin(theta[i])
        for j in range(h * head, min((h + 1) * head, half_width)):
            attention.v_proj.weight[j, 1 + j] = 1.0
            attention.o_proj.weight[1 + half_width + j, j] = 0.1


def _wire_match_and_copy(
    attention: Qwen3Attention, size: TinySize, half_width: int, theta: list[float]
) -> None:
    head, half = size.head, size.head // 2
    slow = [i for i in range(half) if theta[i] < 0.004]
    matching = slow + [half + i for i in slow]
    for h in range(size.hidden // head):
        rows = slice(h * head, (h + 1) * head)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight[rows] *= 0.1
        attention.o_proj.weight[:, rows] *= 0.1
        for j, k in enumerate(matching):
            source = (h * len(matching) + j) % half_width
            attention.q_proj.weight[h * head + k, 1 + source] = 1.0
            attention.k_proj.weight[h * head + k, 1 + half_width + source] = 1.0
        for j in range(head):
            source = (h * head + j) % half_width
            attention.v_proj.weight[h * head + j, 1 + source] = 1.0
            attention.o_proj.weight[1 + source, h * head + j] = 0.15
