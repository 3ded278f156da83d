"""Safetensors files as float32 arrays, and how many parameters they hold without reading them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from marl_llm.core.errors import UserError

Weights = dict[str, NDArray[np.float32]]
"""Tensors by the names they have in the file."""


def model_files(directory: Path) -> list[Path]:
    """The weight files of a model directory: one, or the shards of a large model.

    Raises
    ------
    UserError
        There are none.
    """
    files = sorted(directory.glob("model*.safetensors"))
    if not files:
        raise UserError(f"{directory} holds no weights (model.safetensors): get the model again.")
    return files


def count_parameters(directory: Path) -> int:
    """Parameters of a model; only the files' headers are read.

    Raises
    ------
    UserError
        Weights are missing or damaged.
    """
    return sum(_count(path) for path in model_files(directory))


def _count(path: Path) -> int:
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def read_weights(path: Path) -> Weights:
    """All tensors of one file, as float32.

    Raises
    ------
    UserError
        The file is missing or damaged, or holds numbers of another kind than float32, float16 and
        bfloat16.
    """
    try:
        entries = deserialize(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    return {
        name: _array(entry["data"], entry["dtype"], path).reshape(entry["shape"])
        for name, entry in entries
    }


def _array(data: bytes, dtype: str, path: Path) -> NDArray[np.float32]:
    if dtype == "F32":
        return np.frombuffer(data, np.float32)
    if dtype == "F16":
        return np.frombuffer(data, np.float16).astype(np.float32)
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    raise UserError(
        f"{path} holds weights of type {dtype}: save it in float32, float16 or bfloat16."
    )


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read as weights ({' '.join(str(error).split())[:160]}): get it again."
    )
