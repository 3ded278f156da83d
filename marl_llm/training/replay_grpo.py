"""GRPO on logged rows, on top of `trl.GRPOTrainer`: no prompt is repeated and nothing is generated or scored, the log
is replayed.

One row is one logged completion, groups may have any size (advantages are ready), and the ratio's denominator is the
log-probability the server logged, or one recomputed at the start with truncated importance weights. TRL supplies the
losses, clipping, KL term and its metrics. What we rely on beyond its public surface, guarded by
`tests/training/test_trl_contract.py`:

overridden : `get_train_dataloader`, `_get_train_sampler`, `_prepare_inputs`, `get_batch_samples` (hooks of
`transformers.Trainer`) wrapped    : `_compute_loss`, `_get_per_token_logps_and_entropies` (results read for metrics;
the second is also called before training) contract   : the keys `_compute_loss` reads, with advantages of shape (B, T);
`_metrics`; `beta`; `args.steps_per_generation`
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from marl_llm.training.batching import LengthSampler, length_batches
from marl_llm.training.collator import ReplayCollator
from marl_llm.training.data import ReplayRow

OnStep = Callable[[int, int, float], None]
"""Called after each optimizer step with the step's number from 1, the number of steps, and the loss."""


@dataclass
class ReplayGRPOConfig(GRPOConfig):
    """`trl.GRPOConfig` with two fields of our own; what concerns generation is ignored."""

    old_logps: str = field(default="logged", metadata={"help": "denominator of the ratio: logged or recompute"})
    tis_cap: float | None = field(
        default=2.0, metadata={"help": "largest importance weight with recompute; None: no weights"}
    )

    def __post_init__(self) -> None:
        # Groups are resolved in the log; these values only satisfy GRPOConfig's divisibility checks.
        self.num_generations, self.generation_batch_size = 2, None
        self.steps_per_generation = 2 * self.gradient_accumulation_steps
        super().__post_init__()


class ReplayGRPOTrainer(GRPOTrainer):
    """Trains the adapter "default" of a PEFT model on logged rows.

    Parameters
    ----------
    model : PeftModel
        Its trainable adapter is called "default" (TRL looks it up by that name).
    args : ReplayGRPOConfig
    rows : sequence of ReplayRow
        Not changed; the trainer works on its own list.
    tokenizer : PreTrainedTokenizerBase
        Only its padding token is used.
    on_step : OnStep, optional
    """

    args: ReplayGRPOConfig
    model: Any

    def __init__(
        self,
        model: Any,
        args: ReplayGRPOConfig,
        rows: Sequence[ReplayRow],
        tokenizer: PreTrainedTokenizerBase,
        on_step: OnStep | None = None,
    ) -> None:
        # With beta > 0 TRL would copy the adapter as the reference; ours is the base model, so beta is hidden from it.
        beta, args.beta = args.beta, 0.0
        placeholder = Dataset.from_dict({"prompt": [""] * len(rows)})
        super().__init__(model, _no_rewards, args, train_dataset=placeholder, processing_class=tokenizer)
        self.beta = args.beta = beta
        self.train_dataset: Any = list(rows)
        self.data_collator = ReplayCollator(int(self.model.generation_config.pad_token_id))
        self.history: list[dict[str, float]] = []
        self.weights: np.ndarray | None = None
        self._cells = defaultdict(int)
        self._annotated = False
        self.remove_callback(PrinterCallback)
        self.add_callback(_History(self.history, on_step))

    @property
    def padding_share(self) -> float:
        """Share of padding in [0, 1) among all cells of the batches seen so far."""
        return 1 - self._cells["real"] / self._cells["all"] if self._cells["all"] else 0.0

    # Data: the standard loader of transformers.Trainer instead of TRL's, which repeats prompts and generates.

    def get_train_dataloader(self) -> Any:
        """The loader of `transformers.Trainer`, after one pass for recomputed and reference log-probabilities if
        needed."""
        if not self._annotated:
            self.annotate()
        return Trainer.get_train_dataloader(self)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return LengthSampler(*_lengths(self.train_dataset), self.args.per_device_train_batch_size, self.args.seed)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, None]:
        """The micro-batches of one optimizer step, each with the step's token count, which dapo, cispo and vespo divide
        by."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches:
            local = torch.stack([batch["completion_mask"].sum() for batch in batches]).sum().float()
            tokens: Any = self.accelerator.reduce(local.to(self.accelerator.device), reduction="sum")
            for (
                batch
            ) in batches:  # TRL scales this count from a generation batch down to one accumulation window; undo that
                batch["num_items_in_batch"] = tokens * self.args.steps_per_generation / len(batches)
        return batches, None

    def _prepare_inputs(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return Trainer._prepare_inputs(self, batch)

    # Log-probabilities outside the update.

    @torch.no_grad()
    def score(self, rows: Sequence[ReplayRow], *, base: bool = False) -> list[np.ndarray]:
        """Log-probabilities (nats) of the rows' tokens under the current policy, or the base model, at the training
        temperature.

        Returns
        -------
        list of ndarray of float32, each of shape (T,)
            In the order of `rows`.
        """
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(rows)
        with model.disable_adapter() if base else nullcontext():
            for numbers in length_batches(
                *_lengths(rows), self.args.per_device_train_batch_size, np.random.default_rng(0)
            ):
                batch = Trainer._prepare_inputs(self, self.data_collator([rows[i] for i in numbers]))
                logps = self._logps(model, batch).float().cpu().numpy()
                for number, line in zip(numbers, logps, strict=True):
                    found[number] = line[: len(rows[number].completion_ids)].copy()
        model.train(training)
        return found

    def _logps(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        return self._get_per_token_logps_and_entropies(model, ids, mask, batch["completion_ids"].size(1))[0]

    def annotate(self) -> None:
        """Fill in recomputed and reference log-probabilities, and fold the importance weights into the advantages.

        With pi_old recomputed, the weight w = min(exp(old - logged), cap) corrects for the sampler. As w >= 0, min(r w
        A, clip(r) w A) = w min(r A, clip(r) A): folding it into A is the same as TRL's own weighting of the loss.
        """
        rows: list[ReplayRow] = [_copy(row) for row in self.train_dataset]
        if self.args.old_logps == "recompute":
            for row, old in zip(rows, self.score(rows), strict=True):
                row.old_logprobs = old
        if self.args.old_logps == "recompute" and self.args.tis_cap is not None:
            weights = [np.minimum(np.exp(row.old_logprobs - row.logged_logprobs), self.args.tis_cap) for row in rows]
            for row, weight in zip(rows, weights, strict=True):
                row.advantage = row.advantage * weight
            self.weights = np.concatenate(weights)
        if self.beta != 0.0:
            for row, reference in zip(rows, self.score(rows, base=True), strict=True):
                row.reference_logprobs = reference
        self.train_dataset, self._annotated = rows, True

    # Metrics: the loss itself is TRL's.

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        result = super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        self._last_logps = result[0].detach()
        return result

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        loss = super()._compute_loss(model, inputs)
        mask = inputs["completion_mask"].bool()
        self._cells["real"] += int(inputs["prompt_mask"].sum() + mask.sum())
        self._cells["all"] += inputs["prompt_mask"].numel() + mask.numel()
        log_ratio = (self._last_logps - inputs["old_per_token_logps"])[mask]
        behaviour = (self._last_logps - inputs["sampling_per_token_logps"])[mask].exp()
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["replay/ratio_mean"].append(log_ratio.exp().mean().item())
        metrics["replay/ratio_max"].append(log_ratio.exp().max().item())
        metrics["replay/approx_kl"].append((log_ratio.exp() - 1 - log_ratio).mean().item())
        metrics["replay/ess_frac"].append((behaviour.sum() ** 2 / (behaviour**2).sum() / behaviour.numel()).item())
        return loss


class _History(TrainerCallback):
    """Keeps each step's logged numbers and reports progress."""

    def __init__(self, history: list[dict[str, float]], on_step: OnStep | None) -> None:
        self._history, self._on_step = history, on_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs is None or "loss" not in logs:
            return
        numbers = {name: float(value) for name, value in logs.items() if isinstance(value, (int, float))}
        self._history.append({"step": float(state.global_step), **numbers})
        if self._on_step is not None:
            self._on_step(state.global_step, state.max_steps, numbers["loss"])


def _no_rewards(*_: Any, **__: Any) -> list[float | None]:
    raise AssertionError("replay never scores completions: TRL's generation path was entered")


def _lengths(rows: Sequence[ReplayRow]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([len(row.prompt_ids) for row in rows]), np.array([len(row.completion_ids) for row in rows])


def _copy(row: ReplayRow) -> ReplayRow:
    return ReplayRow(
        row.name,
        row.prompt_ids,
        row.completion_ids,
        row.logged_logprobs,
        row.advantage,
        row.adapter_sha256,
        row.sampling,
    )
