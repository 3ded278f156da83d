"""Training tokens per second: our replay of logged rows beside `trl.SFTTrainer` on the same tokens.

Rows are random token ids with the lengths of logged turns: prompts of 60 to 300 tokens, completions
of 4 to 24. Both trainers get the same rows, base model, fresh LoRA adapter on all linear layers,
precision and rows per step, and both group rows by length; SFT learns all completions, replay the
clipped policy loss with its metrics. Tokens are counted row by row, prompt and completion, so
prompts that rows share raise replay's rate as computed tokens do not. Methods take turns, so that a
busy machine slows all of them; rates are of the fastest round.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from marl_llm.algorithms.grpo import GRPO
from marl_llm.training.adapters import adapter_sha256, create_adapter
from marl_llm.training.data import ReplayRow
from marl_llm.training.loading import load_policy, trainer_arguments
from marl_llm.training.phase import Phase
from marl_llm.training.seam import dataset_of

if TYPE_CHECKING:
    from transformers import Trainer

_IGNORED = -100
"""The label of tokens that carry no loss, in transformers."""

ROWS_PER_PROMPT = (1, 2, 8)
_ROWS = 96
_CONFIG = GRPO(batch_rows=32, batch_tokens=1024, learning_rate=1e-5)


@dataclass(frozen=True)
class TrainingRate:
    """Tokens per second of both trainers on rows of which `rows_per_prompt` have the same prompt.

    Attributes
    ----------
    rows_per_prompt, tokens : int
        Tokens of the prompts and completions of all rows.
    replay_tokens_per_s, sft_tokens_per_s : float
    ratio : float
        The first by the second.
    computed_share, padding_share : float
        Cells that replay computed as a share of the tokens, and padding as a share of these cells.
    """

    rows_per_prompt: int
    tokens: int
    replay_tokens_per_s: float
    sft_tokens_per_s: float
    ratio: float
    computed_share: float
    padding_share: float


def benchmark(
    base_dir: Path, rounds: int, rows: int = _ROWS, rows_per_prompt: Sequence[int] = ROWS_PER_PROMPT
) -> list[TrainingRate]:
    """Time both trainers on `rows` rows for each of `rows_per_prompt`, interleaved; the fastest of
    `rounds` counts.

    Raises
    ------
    UserError
        `base_dir` holds no model.
    """
    return [_measure(base_dir, rounds, rows, per_prompt) for per_prompt in rows_per_prompt]


def random_rows(count: int, per_prompt: int, vocabulary: int, seed: int = 0) -> list[ReplayRow]:
    """`count` rows of which each `per_prompt` have the same prompt."""
    rng = np.random.default_rng(seed)
    found: list[ReplayRow] = []
    while len(found) < count:
        prompt = rng.integers(3, vocabulary, rng.integers(60, 300))
        for _ in range(min(per_prompt, count - len(found))):
            tokens = int(rng.integers(4, 25))
            logps = np.full(tokens, -np.log(vocabulary), np.float32)
            gain = np.full(tokens, rng.normal(), np.float32)
            found.append(
                ReplayRow(
                    f"row {len(found)}", prompt, rng.integers(3, vocabulary, tokens), logps, gain
                )
            )
    return found


def _measure(base_dir: Path, rounds: int, count: int, per_prompt: int) -> TrainingRate:
    with tempfile.TemporaryDirectory() as folder:
        adapter = create_adapter(base_dir, Path(folder) / "bench-v0", rank=16, alpha=32, seed=0)
        vocabulary = json.loads((Path(base_dir) / "config.json").read_text(encoding="utf-8"))[
            "vocab_size"
        ]
        rows = random_rows(count, per_prompt, vocabulary)
        work = Path(folder) / "work"
        phase = Phase(Path(base_dir), adapter, adapter_sha256(adapter), work, seed=0)
        replay: list[float] = []
        sft: list[float] = []
        cells: dict[str, int] = {}
        for _ in range(rounds):
            trainer = _CONFIG.trainer(rows, phase)
            replay.append(_seconds(trainer))
            sft.append(_seconds(_sft_trainer(rows, phase)))
            cells = dict(trainer.cells)
    tokens = sum(row.tokens for row in rows)
    ours, theirs = tokens / min(replay), tokens / min(sft)
    padding = 1 - cells["packed"] / cells["cells"]
    return TrainingRate(
        per_prompt, tokens, ours, theirs, ours / theirs, cells["cells"] / tokens, padding
    )


def _sft_trainer(rows: list[ReplayRow], phase: Phase) -> Trainer:
    model, tokenizer = load_policy(phase.base_dir, phase.adapter_dir, _CONFIG.precision)
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    arguments = SFTConfig(
        **trainer_arguments(_CONFIG, phase.base_dir, phase.workdir, phase.seed),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="group_by_length",
    )
    dataset = dataset_of([labelled(row) for row in rows])
    trainer = SFTTrainer(model, arguments, train_dataset=dataset, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Trainer(Protocol):
    """What is timed: a trainer of ours or of TRL."""

    def train(self) -> object: ...


def _seconds(trainer: _Trainer) -> float:
    started = time.monotonic()
    trainer.train()
    return time.monotonic() - started


def labelled(row: ReplayRow) -> dict[str, list[int]]:
    """What TRL's trainer reads of a row: `input_ids` of length P + T and `labels`, no loss over the
    prompt."""
    completion = row.completion_ids.tolist()
    return {
        "input_ids": row.prompt_ids.tolist() + completion,
        "labels": [_IGNORED] * len(row.prompt_ids) + completion,
    }
