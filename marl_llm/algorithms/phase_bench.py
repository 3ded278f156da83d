"""`python -m marl_llm.algorithms.phase_bench`: one GRPO phase of a real model's shape, with its
share of what this machine can compute and its peak memory; one line of JSON per role, each in a
process of its own, whose memory it is.

Rows are random tokens laid out as those of an iteration. Data Scientist: eight replies of 16 tokens
to each prompt of 434. Engineer: eight requests on one program, whose prompts of 426 tokens have the
first 330 in common, two replies of 24 tokens to each. The share of the product rate counts 4
operations per weight of the blocks and computed cell (forward, and backward to the activations: the
base is frozen) and per weight of the head and learned token, and nothing else: what attention, the
adapter and recomputed activations cost lowers it. The rate is measured before and after.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from marl_llm.algorithms.grpo import GRPO
from marl_llm.core.base_model import EMBEDDED
from marl_llm.core.precision import Precision, product_rates
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.training.adapters import adapter_sha256, create_adapter
from marl_llm.training.data import ReplayRow
from marl_llm.training.loading import precision_of
from marl_llm.training.phase import Phase
from marl_llm.training.seam import save_random_model, trained_policy, weights_of

if TYPE_CHECKING:
    from marl_llm.training.trl_adapter import ReplayTrainer


class Shape(TypedDict):
    """The sizes of a Qwen2 model."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tie_word_embeddings: bool


Figures = TypedDict(
    "Figures",
    {
        "rows": int,
        "tokens a row": int,
        "precision": Precision,
        "seconds": float,
        "tokens/s": int,
        "computed cells/s": int,
        "of the product rate": float,
        "product rate, Tflop/s": float,
        "peak memory, GiB": float,
    },
)
"""What was measured of a phase, under the names that are shown."""
SHAPES: dict[str, Shape] = {
    "qwen2.5-0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "qwen2.5-7b": {
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
        "tie_word_embeddings": False,
    },
}
"""Sizes of models on the Hub, as their config.json says."""

_CONFIG = GRPO(batch_rows=32, batch_tokens=1024, learning_rate=1e-5)
_GROUPS = {DATA_SCIENTIST: (434, 0, 1, 8, 16), ML_ENGINEER: (330, 96, 8, 2, 24)}
"""Tokens in common, tokens of each prompt's own, prompts, replies to each, tokens of a reply."""


def random_model(shape: str, directory: Path) -> Path:
    """A model of this shape, random weights in bfloat16, with the embedded model's tokenizer."""
    from transformers import Qwen2Config

    config = Qwen2Config(
        **SHAPES[shape], max_position_embeddings=32_768, eos_token_id=2, pad_token_id=0
    )
    save_random_model(config, directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(EMBEDDED / name, directory / name)
    return directory


def random_rows(role: str, count: int, fingerprint: str) -> list[ReplayRow]:
    """`count` rows as an iteration has them, with advantages drawn at random."""
    common, own, prompts, replies, tokens = _GROUPS[role]
    rng = np.random.default_rng(0)
    found: list[ReplayRow] = []
    while len(found) < count:
        state = rng.integers(3, 2000, common)
        for _ in range(prompts):
            prompt = np.concatenate([state, rng.integers(3, 2000, own)])
            for _ in range(replies):
                logps, gain = (
                    np.full(tokens, -8, np.float32),
                    np.full(tokens, rng.normal(), np.float32),
                )
                ids = rng.integers(3, 2000, tokens)
                found.append(ReplayRow(f"row {len(found)}", prompt, ids, logps, gain, fingerprint))
    return found[:count]


def train_phase(trainer: ReplayTrainer, rows: list[ReplayRow], precision: Precision) -> Figures:
    """One phase of a `ReplayTrainer`: tokens/s, share of the product rate, peak memory."""
    import torch

    cuda = torch.cuda.is_available()
    rates = [_gpu_rate() if cuda else product_rates()[precision]]
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    rates.append(_gpu_rate() if cuda else product_rates()[precision])
    rate = sum(rates) / 2
    blocks, head = weights_of(trained_policy(trainer))
    cells = trainer.cells["cells"]
    learned = sum(len(row.completion_ids) for row in rows) * trainer.args.num_train_epochs
    peak = (
        torch.cuda.max_memory_allocated()
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "rows": len(rows),
        "tokens a row": round(sum(row.tokens for row in rows) / len(rows)),
        "precision": precision,
        "seconds": round(seconds, 2),
        "tokens/s": round(trainer.cells["logical"] / seconds),
        "computed cells/s": round(cells / seconds),
        "of the product rate": round(4 * (blocks * cells + head * learned) / seconds / rate, 3),
        "product rate, Tflop/s": round(rate / 1e12, 3),
        "peak memory, GiB": round(peak / 2**30, 2),
    }


def _gpu_rate(seconds: float = 1.0) -> float:
    """Operations per second of a large product of matrices in bfloat16."""
    import torch

    size = 8192
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    best, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.perf_counter()
        (a @ b).sum().item()
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def benchmark(rows: int = 64, *arguments: str) -> dict[str, Figures]:
    """Each role's phase of `rows` rows; `arguments` are further ones of this module's command."""
    found: dict[str, Figures] = {}
    for role in ROLES:
        command = [
            sys.executable,
            "-m",
            "marl_llm.algorithms.phase_bench",
            "--role",
            role,
            "--rows",
            str(rows),
            *arguments,
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[role] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), default="qwen2.5-0.5b")
    parser.add_argument("--role", choices=ROLES, help="default: one after the other")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=_CONFIG.batch_tokens,
        help="maximum number of cells computed at once",
    )
    args = parser.parse_args()
    if args.role is None:
        found = benchmark(
            args.rows, "--shape", args.shape, "--batch-tokens", str(args.batch_tokens)
        )
        sys.stdout.writelines(json.dumps(figures) + "\n" for figures in found.values())
        return
    config = _CONFIG.model_copy(update={"batch_tokens": args.batch_tokens})
    with tempfile.TemporaryDirectory() as folder:
        base = random_model(args.shape, Path(folder) / "base")
        adapter = create_adapter(base, Path(folder) / "v0", rank=16, alpha=32, seed=0)
        rows = random_rows(args.role, args.rows, adapter_sha256(adapter))
        phase = Phase(base, adapter, adapter_sha256(adapter), Path(folder) / "work", seed=0)
        trainer = config.trainer(rows, phase)
        figures = train_phase(trainer, rows, precision_of(config.precision, base))
        sys.stdout.write(json.dumps({"role": args.role, **figures}) + "\n")


if __name__ == "__main__":
    main()
