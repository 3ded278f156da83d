"""Which precision a model is computed in on a CPU: chosen by what this machine does, never by its
name.

A model that is stored in bfloat16 is computed in bfloat16 where this CPU multiplies such matrices
clearly faster than float32 ones (two to four times with AVX512-BF16, slower without), else in
float32. A model stored in float32 stays so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Literal

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import RunFailed, UserError

Precision = Literal["float32", "bfloat16"]

CLEARLY_FASTER = 1.3
"""bfloat16 by float32, products per second: from here on the gain is worth the rounding."""
_SHAPE = 256, 896, 4864
"""Rows, and the two sides of a matrix, as in the smallest models worth fine-tuning."""


def stored_precision(model_dir: Path) -> str:
    """What `config.json` says the weights are stored in, e.g. "bfloat16"; "float32" where it says
    nothing.

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
    """The precision for a model on this machine's CPU; measured, where it is asked for, once a
    machine (3 s).
    """
    wanted = stored_precision(model_dir) == "bfloat16" and bfloat16_speedup() >= CLEARLY_FASTER
    return "bfloat16" if wanted else "float32"


@functools.cache
def bfloat16_speedup() -> float:
    """bfloat16 by float32, products per second on one core.

    Measured in a process of its own (the asking one may not want torch, or may have other threads)
    and kept in the user's cache by processor and version of torch: the server and the trainer of a
    run must come to the same answer.
    """
    file, key = _cache_file(), _machine()
    kept = _kept(file)
    if not isinstance(kept.get(key), float):
        command = [sys.executable, "-m", "marl_llm.core.precision"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        kept[key] = float(done.stdout)
        with suppress(RunFailed):  # without a cache it is measured again
            write_json(file, kept)
    return kept[key]


def _cache_file() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "marl_llm" / "bfloat16.json"


def _kept(file: Path) -> dict[str, float]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _machine() -> str:
    """What the speed follows from: name and instructions of the processor, and the version of
    torch.
    """
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    about = sorted(
        {line for line in lines if line.startswith(("model", "flags", "Features", "CPU part"))}
    )
    return hashlib.sha256("\n".join([*about, metadata.version("torch")]).encode()).hexdigest()[:16]


def product_rates(seconds: float = 1.0) -> dict[Precision, float]:
    """Operations per second of a layer's product, x W^T, in either precision, in this process, as
    it is kept up for `seconds`: they take turns, so that a busy machine slows both.
    """
    rows, inner, outer = _SHAPE
    return {
        name: 2 * rows * inner * outer * len(took) / sum(took)
        for name, took in _timings(seconds).items()
    }


def _timings(seconds: float) -> dict[Precision, list[float]]:
    """Seconds of each product; the first, which prepares, is left out."""
    import torch

    rows, inner, outer = _SHAPE
    layers: dict[Precision, tuple[torch.Tensor, torch.Tensor]] = {}
    for precision in ("float32", "bfloat16"):
        dtype = getattr(torch, precision)
        layers[precision] = torch.randn(rows, inner).to(dtype), torch.randn(outer, inner).to(dtype)
        torch.nn.functional.linear(*layers[precision])
    took: dict[Precision, list[float]] = {precision: [] for precision in layers}
    end = time.monotonic() + seconds
    while not took["bfloat16"] or time.monotonic() < end:
        for precision, (x, weight) in layers.items():
            started = time.perf_counter()
            torch.nn.functional.linear(x, weight)
            took[precision].append(time.perf_counter() - started)
    return took


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    medians = {name: statistics.median(took) for name, took in _timings(1.0).items()}
    sys.stdout.write(f"{medians['float32'] / medians['bfloat16']}\n")
