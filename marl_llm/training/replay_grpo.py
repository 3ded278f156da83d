"""GRPO on logged rows, on top of `trl.GRPOTrainer`: no prompt is repeated and nothing is generated or scored, the log
is replayed.

One row is one logged completion, groups may have any size (advantages are ready), and the ratio's denominator is the
log-probability the server logged, or one recomputed at the start with truncated importance weights. TRL supplies the
losses, clipping, KL term and its metrics. A batch is computed in pieces under a budget of tokens, with the prompt of
several rows computed once; each piece's loss is weighted so that the step's gradient is that of all its rows at once,
on any number of processes. What we rely on beyond TRL's public surface, guarded by
`tests/training/test_trl_contract.py`:

overridden : `train`, `get_train_dataloader`, `training_step`, `_prepare_inputs`, `get_batch_samples`,
`_save_checkpoint` (of `transformers.Trainer`), `_get_per_token_logps_and_entropies` (also called before training)
wrapped    : `_compute_loss` (results read for metrics)
contract   : the keys `_compute_loss` reads, with advantages of shape (B, T); `_metrics`; `beta`;
`args.steps_per_generation`; how each loss is normalised; the fused head's `shift_labels`, `log_probs` and `entropy`,
and that it projects what `last_hidden_state` of the base model's `base_model` holds
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, Trainer
from transformers.trainer_callback import PrinterCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from marl_llm.training.batching import StepBatches, step_batches
from marl_llm.training.brake import KLBrake
from marl_llm.training.collator import ReplayCollator
from marl_llm.training.data import ReplayRow, sizes_of
from marl_llm.training.history import OnStep, StepReport
from marl_llm.training.shared_prompts import can_share, shared_logps
from marl_llm.training.step_metrics import RatioTotals, combine

_OLD = ("old_per_token_logps", "sampling_per_token_logps")
_PER_TOKEN = ("dapo", "cispo", "vespo")
"""Losses that TRL divides by the tokens of the whole step; bnpo by a piece's tokens, the others by its rows."""


@dataclass
class ReplayGRPOConfig(GRPOConfig):
    """`trl.GRPOConfig` with four fields of our own; what concerns generation is ignored."""

    old_logps: str = field(
        default="logged",
        metadata={"help": "denominator of the ratio: logged, recompute, or current (the ratio is always one)"},
    )
    tis_cap: float | None = field(
        default=2.0, metadata={"help": "largest importance weight with recompute; None: no weights"}
    )
    batch_tokens: int | None = field(default=None, metadata={"help": "most cells computed at once; None: no limit"})
    kl_limit: float | None = field(default=None, metadata={"help": "nats per token; see KLBrake; None: no limit"})

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
        self._share = can_share(self.model)
        self._backbone: Any = self.model.get_base_model().base_model
        self.data_collator: Any = ReplayCollator(
            int(self.model.generation_config.pad_token_id),
            batch_tokens=args.batch_tokens,
            share=self._share,
            processes=self.accelerator.num_processes,
            rank=self.accelerator.process_index,
        )
        self.weights: np.ndarray | None = None
        self.cells: Counter[str] = Counter()
        self._ratios = RatioTotals()
        self._layout: dict[str, torch.Tensor] | None = None
        self._annotated = False
        self.remove_callback(PrinterCallback)
        self.add_callback(StepReport(on_step))
        self.brake = None if args.kl_limit is None else KLBrake(self.model, args.kl_limit)
        if self.brake:
            self.add_callback(self.brake)

    # Data: our batches instead of TRL's, which repeats prompts and generates.

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, after one pass for recomputed and reference log-probabilities if needed: under the adapter the phase
        starts from, before a checkpoint is loaded."""
        if not self._annotated:
            self.annotate()
        with self._uncast():
            return super().train(*args, **kwargs)

    def _uncast(self) -> Any:
        """PEFT turns an adapter's input into the adapter's float32, which autocast turns back at once: 8% of a phase in
        bfloat16, and the same numbers without."""
        return disable_input_dtype_casting(self.model) if self.args.bf16 else nullcontext()

    def get_train_dataloader(self) -> Any:
        """Batches of rows, the same on every process; which part of a batch is a process's own, the collator says."""
        batches = StepBatches(sizes_of(self.train_dataset), self.args.per_device_train_batch_size, self.args.seed)
        pin = self.args.dataloader_pin_memory
        return _Loader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator, pin_memory=pin)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, None]:
        """The batches of one optimizer step, each piece with `num_items_in_batch`, the step's token count, and `share`,
        the factor that makes the sum of TRL's losses the loss of all the step's rows at once."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        rows, tokens = sum(batch["rows"] for batch in batches), sum(batch["tokens"] for batch in batches)
        for piece in (piece for batch in batches for piece in batch["pieces"]):
            # TRL scales this count from a generation batch down to one accumulation window; undo that
            scaled = tokens * float(self.args.steps_per_generation or 1) / len(batches)
            piece["num_items_in_batch"] = torch.tensor(scaled, dtype=torch.float32)
            mask = piece["completion_mask"]
            part = float(mask.sum()) / tokens if self.loss_type == "bnpo" else len(mask) / rows
            whole = len(batches) * self.accelerator.num_processes  # by which TRL and the mean over processes divide
            piece["share"] = 1.0 if self.loss_type in _PER_TOKEN else part * whole
        return batches, None

    def _prepare_inputs(self, batch: dict[str, Any]) -> dict[str, Any]:
        return Trainer._prepare_inputs(self, batch)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        Trainer._save_checkpoint(self, model, trial)  # without TRL's model card

    # One batch, piece by piece.

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Add the gradient of one batch; returns its part of the step's loss. Processes meet at the last piece."""
        outer, found = self._metrics["train"], []
        loss = torch.zeros((), device=self.accelerator.device)
        self._ratios = RatioTotals()
        for number, piece in enumerate(inputs["pieces"], start=1):
            self._metrics["train"] = defaultdict(list)
            with nullcontext() if number == len(inputs["pieces"]) else self.accelerator.no_sync(model):
                loss = loss + Trainer.training_step(self, model, piece, num_items_in_batch)
            found.append((piece["weight"], self._metrics["train"]))
        self._metrics["train"] = outer
        self.cells.update({name: inputs[name] for name in ("logical", "packed", "cells")})
        ratios = self._ratios.means(self._sum, self._largest)
        if self.brake:
            self.brake.saw(ratios["approx_kl"])
        for name, value in (combine(found) | {f"replay/{name}": value for name, value in ratios.items()}).items():
            outer[name].append(value)
        return loss

    def _sum(self, values: torch.Tensor) -> Any:
        return self.accelerator.reduce(values, reduction="sum")

    def _largest(self, value: torch.Tensor) -> Any:
        found: Any = self.accelerator.gather(value[None])
        return found.max()

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._layout = inputs.get("layout")
        if self.args.old_logps == "current":  # TRL takes its own log-probabilities where it is given none
            inputs = {name: value for name, value in inputs.items() if name not in _OLD}
        loss = super()._compute_loss(model, inputs) * inputs.get("share", 1.0)
        self._layout = None
        old, sampling = (inputs.get(name, self._last_logps) for name in _OLD)
        self._ratios.add(self._last_logps, old, sampling, inputs["completion_mask"])
        return loss

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> Any:
        if self._layout is None:
            result = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        else:
            with self.accelerator.autocast():
                implementation = self.model.config._attn_implementation
                result = *shared_logps(model, self._backbone, self._layout, implementation, self.model.dtype), None
        self._last_logps = result[0].detach()
        return result

    # Log-probabilities outside the update.

    @torch.no_grad()
    def score(self, rows: Sequence[ReplayRow], *, base: bool = False) -> list[np.ndarray]:
        """Log-probabilities (nats) of the rows' tokens under the current policy, or the base model, at the training
        temperature. Several processes share the work; all of them must call this.

        Returns
        -------
        list of ndarray of float32, each of shape (T,)
            In the order of `rows`.
        """
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        found: list[tuple[int, np.ndarray]] = []
        with self._uncast(), model.disable_adapter() if base else nullcontext():
            rng = np.random.default_rng(0)
            for batch in step_batches(sizes_of(rows), self.args.per_device_train_batch_size, rng):
                for numbers, piece in self.data_collator.numbered([rows[i] for i in batch]):
                    logps = self._logps(model, Trainer._prepare_inputs(self, piece)).float().cpu().numpy()
                    for number, line in zip(batch[numbers], logps, strict=True):
                        found.append((number, line[: len(rows[number].completion_ids)].copy()))
        model.train(training)
        everyone = gather_object(found) if self.accelerator.num_processes > 1 else found
        return [line for _, line in sorted(everyone, key=lambda one: one[0])]

    def _logps(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        self._layout = batch.get("layout")
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        found = self._get_per_token_logps_and_entropies(model, ids, mask, batch["completion_ids"].size(1))[0]
        self._layout = None
        return found

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


class _Loader(DataLoader):
    """Tells its batches which epoch begins, as transformers.Trainer expects."""

    def set_epoch(self, epoch: int) -> None:
        batches: Any = self.batch_sampler
        batches.set_epoch(epoch)


def _no_rewards(*_: Any, **__: Any) -> list[float | None]:
    raise AssertionError("replay never scores completions: TRL's generation path was entered")


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
