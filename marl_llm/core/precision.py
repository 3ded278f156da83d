"""Which precision a model is computed in on a CPU: chosen by what this machine does, never by its name.

A model that is stored in bfloat16 is computed in bfloat16 where this CPU multiplies such matrices clearly faster than
float32 ones (two to four times with AVX512-BF16, slower without), else in float32. A model stored in float32 stays so.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from marl_llm.core.errors import UserError

Precision = Literal["float32", "bfloat16"]

CLEARLY_FASTER = 1.3
"""bfloat16 by float32, products per second: from here on the gain is worth the rounding."""
_SHAPE = 256, 896, 4864
"""Rows, and the two sides of a matrix, as in the smallest models worth fine-tuning."""


def stored_precision(model_dir: Path) -> str:
    """What `config.json` says the weights are stored in, e.g. "bfloat16"; "float32" where it says nothing.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    path = Path(model_dir) / "config.json"
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): get the model again.") from None
    return config.get("dtype") or config.get("torch_dtype") or "float32"


def cpu_precision(model_dir: Path) -> Precision:
    """The precision for a model on this machine's CPU; measured once a process, in another one (3 s), if at all."""
    wanted = stored_precision(model_dir) == "bfloat16" and bfloat16_speedup() >= CLEARLY_FASTER
    return "bfloat16" if wanted else "float32"


@functools.cache
def bfloat16_speedup() -> float:
    """bfloat16 by float32, products per second on one core. Measured in a process of its own: the asking one may not
    want torch, or may have other threads."""
    command = [sys.executable, "-m", __name__]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


def product_rates(seconds: float = 1.0) -> dict[Precision, float]:
    """Operations per second of a layer's product, x W^T, in either precision, in this process, as it is kept up for
    `seconds`: they take turns, so that a busy machine slows both.
    """
    import torch

    rows, inner, outer = _SHAPE
    layers: dict[Precision, tuple[torch.Tensor, torch.Tensor]] = {}
    for precision in ("float32", "bfloat16"):
        dtype = getattr(torch, precision)
        layers[precision] = torch.randn(rows, inner).to(dtype), torch.randn(outer, inner).to(dtype)
    took, rounds = dict.fromkeys(layers, 0.0), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rounds += 1
        for precision, (x, weight) in layers.items():
            started = time.perf_counter()
            torch.nn.functional.linear(x, weight)
            took[precision] += time.perf_counter() - started
    return {precision: rounds * 2 * rows * inner * outer / spent for precision, spent in took.items()}


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    rates = product_rates()
    sys.stdout.write(f"{rates['bfloat16'] / rates['float32']}\n")
