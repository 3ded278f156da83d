"""`python -m marl_llm.tiny.pretrain`: make the embedded model from nothing (`make tiny-model`).

The Engineer's task first (its answers are determined by the prompt, so copying forms), then both
roles, the Data Scientist more often in the end: which columns are numeric is what it learns last.
Writes the model, its tokenizer and `pretraining.json` with data, seeds and loss curve. One thread;
an hour on a busy core.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import torch
from transformers import Qwen3ForCausalLM

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.tiny.batches import Batch, batches
from marl_llm.tiny.corpus import World, examples, worlds
from marl_llm.tiny.model import TinySize, new_model
from marl_llm.tiny.muon import Muon
from marl_llm.tiny.tokenizer import save_tokenizer, train_tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """A stretch of pretraining: roles are cycled through, learning rates decay over the last
    `decay` of it.
    """

    roles: tuple[str, ...]
    tokens: int
    error_rate: float
    matrix_lr: float
    other_lr: float
    decay: float


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides the result, recorded beside the weights."""

    size: TinySize = field(default_factory=TinySize)
    vocabulary: int = 2048
    tasks: int = 600
    first_task_seed: int = 5_000_000
    tokens_a_batch: int = 1024
    answers_a_prompt: int = 5
    seed: int = 0
    phases: tuple[Phase, ...] = (
        Phase((ML_ENGINEER,), 2_200_000, 0.02, 0.01, 1.5e-3, 0.3),
        Phase((DATA_SCIENTIST, ML_ENGINEER), 8_600_000, 0.03, 0.008, 1.2e-3, 0.7),
        Phase((DATA_SCIENTIST, DATA_SCIENTIST, ML_ENGINEER), 5_000_000, 0.02, 0.004, 6e-4, 1.0),
    )
    sharpen: float = 1.2
    """Logits are multiplied by it in the end: a small model leaves some probability on every token,
    and what is made of such tokens is nothing anybody would say. Which of several good actions is
    taken hardly changes.
    """


def _optimizers(model: torch.nn.Module, phase: Phase) -> list[torch.optim.Optimizer]:
    matrices, others = [], []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed" not in name else others).append(weight)
    return [
        Muon(matrices, lr=phase.matrix_lr),
        torch.optim.AdamW(others, lr=phase.other_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def _answer_losses(model: Qwen3ForCausalLM, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of each learned token, shape (learned,), and the row each belongs to."""
    ids, learned = batch.ids.to(model.device), batch.learned[:, 1:].to(model.device)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[learned]), ids[:, 1:][learned], reduction="none"
    )
    return losses, learned.nonzero()[:, 0]


class LossCurve:
    """Running mean of the loss per role, in nats per answer token, noted every `every` steps."""

    def __init__(self, every: int = 100) -> None:
        self.points: list[dict[str, float]] = []
        self._mean: dict[str, float] = {}
        self._every = every

    def add(
        self, step: int, tokens: int, batch: Batch, losses: torch.Tensor, rows: torch.Tensor
    ) -> None:
        """Take in one step."""
        roles = [batch.roles[int(r)] for r in rows]
        for role in set(roles):
            mask = torch.tensor([r == role for r in roles], device=losses.device)
            value = float(losses.detach()[mask].mean())
            self._mean[role] = 0.95 * self._mean.get(role, value) + 0.05 * value
        if step % self._every == 0:
            self.points.append(
                {"step": step, "tokens": tokens, **{r: round(v, 4) for r, v in self._mean.items()}}
            )
            logger.info("%s", self.points[-1])


def _schedule(done: float, step: int, decay: float) -> float:
    """Learning-rate factor: 20 warm-up steps, flat, then linear to 2% over the last `decay` of the
    phase.
    """
    warm = min(1.0, (step + 1) / 20)
    return warm * (1.0 if done < 1 - decay else max(0.02, (1 - done) / decay))


def run_phase(
    model: Qwen3ForCausalLM,
    stream: Iterator[Batch],
    phase: Phase,
    curve: LossCurve,
    start: tuple[int, int],
) -> tuple[int, int]:
    """Train one phase; `start` and the result are (steps, tokens) so far."""
    optimizers = _optimizers(model, phase)
    rates = [[group["lr"] for group in o.param_groups] for o in optimizers]
    first, seen, step = start[1], start[1], start[0]
    while seen - first < phase.tokens:
        factor = _schedule((seen - first) / phase.tokens, step - start[0], phase.decay)
        for optimizer, base in zip(optimizers, rates, strict=True):
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
        batch = next(stream)
        losses, rows = _answer_losses(model, batch)
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + batch.tokens
        curve.add(step, seen, batch, losses, rows)
    return step, seen


def tokenizer_texts(pool: list[World], seed: int, count: int = 6000) -> list[str]:
    """Prompts and answers the tokenizer is trained on."""
    stream = examples(seed, pool, (DATA_SCIENTIST, ML_ENGINEER), 0.1, 1)
    return [m["content"] for e in islice(stream, count) for m in e.messages]


def sharpen(model: Qwen3ForCausalLM, factor: float) -> None:
    """Multiply the logits, by the weights of the last norm."""
    with torch.no_grad():
        model.model.norm.weight.mul_(factor)


def pretrain(out: Path, config: PretrainConfig, device: str = "cpu") -> dict[str, object]:
    """Make tokenizer and model on a device, save both under `out` with the record of how they came
    about.
    """
    began = time.monotonic()
    pool = worlds(config.tasks, config.first_task_seed)
    tokenizer = train_tokenizer(tokenizer_texts(pool, config.seed + 1), config.vocabulary)
    model = new_model(tokenizer, config.size, config.seed)
    torch.nn.Module.to(model, device)
    curve, progress = LossCurve(), (0, 0)
    for i, phase in enumerate(config.phases):
        stream = examples(
            config.seed + 100 + i, pool, phase.roles, phase.error_rate, config.answers_a_prompt
        )
        made = batches(stream, tokenizer, config.tokens_a_batch, config.seed + i)
        progress = run_phase(model, made, phase, curve, progress)
        logger.info(
            "phase %d done: %d steps, %d tokens, %.0f s", i, *progress, time.monotonic() - began
        )
        if phase is config.phases[-1]:
            sharpen(model, config.sharpen)
        model.save_pretrained(str(out))
        save_tokenizer(tokenizer, out)
    record = {
        "config": asdict(config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": progress[0],
        "tokens": progress[1],
        "seconds": round(time.monotonic() - began),
        "curve": curve.points,
    }
    (out / "pretraining.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def main() -> None:
    """Entry point of `make tiny-model`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/models/tiny"))
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the recipe's tokens, for a quick trial"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cuda, where there is one (not measured)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    config = PretrainConfig()
    phases = tuple(
        Phase(**{**asdict(p), "tokens": int(p.tokens * args.scale)}) for p in config.phases
    )
    record = pretrain(args.out, PretrainConfig(phases=phases), args.device)
    logger.info(
        "%d parameters, %d tokens, %d s", record["parameters"], record["tokens"], record["seconds"]
    )


if __name__ == "__main__":
    main()
