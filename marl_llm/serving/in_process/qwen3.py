"""Forward pass of a dense Qwen3 in numpy: token ids in, logits of the next token out; keys and
values are kept.

One sequence at a time and float32, as vLLM computes on a CPU. The formulas are those of
`transformers.models.qwen3.modeling_qwen3`. T: new tokens; S: tokens so far; H, K: query and key
heads; D: head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marl_llm.core.errors import UserError
from marl_llm.serving.in_process.config import Qwen3Config
from marl_llm.serving.in_process.weights import Weights

Array = NDArray[np.float32]

_CHUNK = 256
"""Tokens computed at once: bounds the attention scores, (H, T, S)."""


class KVCache:
    """Keys and values of the first `length` tokens of one sequence: shape (layers, K, capacity, D)
    each.
    """

    def __init__(self, config: Qwen3Config, capacity: int) -> None:
        shape = (config.layers, config.kv_heads, capacity, config.head_dim)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.length = 0


class Qwen3:
    """A model: its shape and weights.

    Raises
    ------
    UserError
        A weight is missing.
    """

    def __init__(self, config: Qwen3Config, weights: Weights) -> None:
        self.config, self._weights = config, weights
        steps = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
        self._frequencies = (1.0 / config.theta**steps).astype(np.float32)  # (D / 2,)
        missing = sorted(_names(config) - weights.keys())
        if missing:
            raise UserError(f"The model's files hold no {missing[0]}: get the model again.")

    def logits(self, ids: Sequence[int], cache: KVCache) -> Array:
        """Logits of the token after `ids`, shape (vocabulary,); `ids`, at least one, follow what is
        in `cache`.
        """
        x = np.empty(0, np.float32)
        for first in range(0, len(ids), _CHUNK):
            x = self._hidden(ids[first : first + _CHUNK], cache)
        head = "model.embed_tokens" if self.config.tied else "lm_head"
        return self._linear(self._norm(x[-1:], "model.norm"), head)[0]

    def _hidden(self, ids: Sequence[int], cache: KVCache) -> Array:
        """Residual stream after the last block: (T, hidden)."""
        x = self._weights["model.embed_tokens.weight"][np.asarray(ids)]
        positions = np.arange(cache.length, cache.length + len(ids), dtype=np.float32)
        angles = np.tile(np.outer(positions, self._frequencies), 2)[:, None]  # (T, 1, D)
        turn = np.cos(angles), np.sin(angles)
        for layer in range(self.config.layers):
            block = f"model.layers.{layer}"
            x = x + self._attention(self._norm(x, f"{block}.input_layernorm"), layer, turn, cache)
            x = x + self._mlp(self._norm(x, f"{block}.post_attention_layernorm"), f"{block}.mlp")
        cache.length += len(ids)
        return x

    def _attention(self, x: Array, layer: int, turn: tuple[Array, Array], cache: KVCache) -> Array:
        config, block = self.config, f"model.layers.{layer}.self_attn"
        tokens, start, end = len(x), cache.length, cache.length + len(x)
        q = self._linear(x, f"{block}.q_proj").reshape(tokens, config.heads, config.head_dim)
        k = self._linear(x, f"{block}.k_proj").reshape(tokens, config.kv_heads, config.head_dim)
        v = self._linear(x, f"{block}.v_proj").reshape(tokens, config.kv_heads, config.head_dim)
        q, k = (
            _rotate(self._norm(q, f"{block}.q_norm"), turn),
            _rotate(self._norm(k, f"{block}.k_norm"), turn),
        )
        cache.keys[layer, :, start:end] = k.swapaxes(0, 1)
        cache.values[layer, :, start:end] = v.swapaxes(0, 1)
        keys, values = (
            cache.keys[layer, :, None, :end],
            cache.values[layer, :, None, :end],
        )  # (K, 1, S, D)
        q = q.reshape(tokens, config.kv_heads, -1, config.head_dim).transpose(
            1, 2, 0, 3
        )  # (K, H / K, T, D)
        scores = q @ keys.swapaxes(-1, -2) * np.float32(config.head_dim**-0.5)  # (K, H / K, T, S)
        if tokens > 1:
            scores[..., np.arange(end) > np.arange(start, end)[:, None]] = -np.inf
        mixed = _softmax(scores) @ values
        return self._linear(mixed.transpose(2, 0, 1, 3).reshape(tokens, -1), f"{block}.o_proj")

    def _mlp(self, x: Array, name: str) -> Array:
        gate = self._linear(x, f"{name}.gate_proj")
        with np.errstate(over="ignore"):  # exp(-gate) may be inf: silu is then 0
            silu: Array = np.divide(gate, np.float32(1) + np.exp(-gate))
        return self._linear(silu * self._linear(x, f"{name}.up_proj"), f"{name}.down_proj")

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self._weights[f"{name}.weight"].T

    def _norm(self, x: Array, name: str) -> Array:
        square: Array = (x * x).mean(-1, keepdims=True, dtype=np.float32)
        scaled: Array = np.divide(x, np.sqrt(square + np.float32(self.config.epsilon)))
        return self._weights[f"{name}.weight"] * scaled


def _rotate(x: Array, turn: tuple[Array, Array]) -> Array:
    """Rotary embedding; x: (T, heads, D), the two halves of D are the coordinates."""
    cos, sin = turn
    half = x.shape[-1] // 2
    quarter: Array = np.concatenate((-x[..., half:], x[..., :half]), -1)
    rotated: Array = np.add(x * cos, quarter * sin)
    return rotated


def _softmax(x: Array) -> Array:
    x = np.exp(x - x.max(-1, keepdims=True))
    shares: Array = np.divide(x, x.sum(-1, keepdims=True))
    return shares


def _names(config: Qwen3Config) -> set[str]:
    """Names of all weights a model of this shape has."""
    inner = [
        f"self_attn.{part}" for part in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")
    ]
    inner += [f"mlp.{part}_proj" for part in ("gate", "up", "down")] + [
        "input_layernorm",
        "post_attention_layernorm",
    ]
    outer = ["model.embed_tokens", "model.norm", *([] if config.tied else ["lm_head"])]
    blocks = [f"model.layers.{layer}.{part}" for layer in range(config.layers) for part in inner]
    return {f"{name}.weight" for name in (*outer, *blocks)}
