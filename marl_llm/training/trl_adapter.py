"""The one place that touches what is not TRL's public surface. Logged rows, or pairs, go into a
trainer of TRL; nothing is generated or scored, the log is replayed.

`ReplayTrainer` trains on rows by any `Loss`: one row is one logged completion, advantages are
ready, and the ratio's denominator is the log-probability the server logged, or one recomputed at
the start with truncated importance weights. TRL supplies the model's preparation, the fused head
and the log; transformers the loop. A batch is computed in pieces under a budget of tokens, with
the prompt of several rows computed once. `PairTrainer` is `trl.DPOTrainer` on token ids as they
were sampled. What we rely on is guarded by `tests/training/test_trl_contract.py`:

overridden : `train`, `get_train_dataloader`, `training_step`, `_prepare_inputs`,
`get_batch_samples`, `_save_checkpoint`, `_compute_loss`; of the pairs' trainer `_prepare_dataset`,
`_load_from_checkpoint`
replaced : `trl.import_utils.is_vllm_available`, while trainers are imported: `trl_trainers.py`
called : `_get_per_token_logps_and_entropies`; `Trainer.training_step`, which hands its inputs to
`_compute_loss` and does not scale what that returns
contract : `_metrics` is averaged into the log; the fused head's `shift_labels`, `log_probs` and
`entropy`, and that it projects what `last_hidden_state` of the base model's `base_model` holds; the
columns that the pairs' collator reads
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import TrainOutput

from marl_llm.training.batching import StepBatches, step_batches
from marl_llm.training.brake import KLBrake
from marl_llm.training.collator import ReplayCollator
from marl_llm.training.data import ReplayRow, sizes_of
from marl_llm.training.history import FIGURE, StepReport
from marl_llm.training.loader import EpochLoader, Rows
from marl_llm.training.loading import base_of
from marl_llm.training.loss import Replay, StepSize, Tokens
from marl_llm.training.phase import OnStep
from marl_llm.training.shared_prompts import IGNORED, attention, can_share
from marl_llm.training.step_metrics import BatchFigures
from marl_llm.training.trl_trainers import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

if TYPE_CHECKING:
    from jaxtyping import Float

Batch = dict[str, Any]
"""What the collator makes of rows: counts, and pieces, which are dicts of tensors."""


def replay_arguments(settings: dict[str, Any], temperature: float) -> GRPOConfig:
    """TRL's arguments from those of transformers and the sampling temperature, by which the fused
    head divides the logits. What concerns generation only satisfies divisibility checks."""
    return GRPOConfig(
        **settings,
        temperature=temperature,
        num_generations=2,
        steps_per_generation=2 * settings["gradient_accumulation_steps"],
    )


class ReplayTrainer(GRPOTrainer):
    """Trains the adapter "default" of a PEFT model on logged rows.

    Parameters
    ----------
    model : PeftModel
        Its trainable adapter is called "default" (TRL looks it up by that name).
    args : GRPOConfig
        From `replay_arguments`.
    rows : sequence of ReplayRow
        Not changed; the trainer works on copies.
    tokenizer : PreTrainedTokenizerBase
        Only its padding token is used.
    replay : Replay
    on_step : OnStep, optional

    Attributes
    ----------
    rows : list of ReplayRow
        As the loss sees them, after `annotate`.
    weights : ndarray of float32, or None
        Importance weights of all tokens, where there are any.
    cells : Counter
        Tokens as if each row were computed alone ("logical"), cells that hold something ("packed")
        and cells that were computed ("cells").
    """

    def __init__(
        self,
        model: PeftModel,
        args: GRPOConfig,
        rows: Sequence[ReplayRow],
        tokenizer: PreTrainedTokenizerBase,
        replay: Replay,
        on_step: OnStep | None = None,
    ) -> None:
        placeholder = Dataset.from_dict({"prompt": [""] * len(rows)})
        super().__init__(
            model, _no_rewards, args, train_dataset=placeholder, processing_class=tokenizer
        )
        self.policy, self.replay, self.logged = model, replay, list(rows)
        self.rows = list(rows)
        base = base_of(model)
        self.collator = ReplayCollator(
            pad_token(base),
            batch_tokens=replay.batch_tokens,
            share=can_share(base),
            processes=self.accelerator.num_processes,
            rank=self.accelerator.process_index,
        )
        self.weights: np.ndarray | None = None
        self.cells: Counter[str] = Counter()
        self.remove_callback(PrinterCallback)
        self.add_callback(StepReport(on_step))
        self.brake = None if replay.kl_limit is None else KLBrake(model, replay.kl_limit)
        if self.brake:
            self.add_callback(self.brake)

    # Data: our batches instead of TRL's, which repeats prompts and generates.

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """Train, after one pass for recomputed and reference log-probabilities if needed: under the
        adapter the phase starts from, before a checkpoint is loaded."""
        self.annotate()
        with self._uncast():
            return super().train(resume_from_checkpoint, **kwargs)

    def _uncast(self) -> AbstractContextManager[None]:
        """PEFT turns an adapter's input into the adapter's float32, which autocast turns back at
        once: 8% of a phase in bfloat16, and the same numbers without."""
        return disable_input_dtype_casting(self.policy) if self.args.bf16 else nullcontext()

    def get_train_dataloader(self) -> DataLoader:
        """Batches of rows, the same on every process; which part is its own, the collator says."""
        rows, args = self.rows, self.args
        return EpochLoader(
            Rows(rows),
            batch_sampler=StepBatches(sizes_of(rows), args.per_device_train_batch_size, args.seed),
            collate_fn=self.collator,
            pin_memory=args.dataloader_pin_memory,
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], None]:
        """The batches of one optimizer step, each piece with the size of the whole step."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        rows = sum(batch["rows"] for batch in batches)
        tokens = sum(batch["tokens"] for batch in batches)
        for batch in batches:
            for piece in batch["pieces"]:
                piece["step"] = StepSize(rows, tokens)
        return batches, None

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        return Trainer._prepare_inputs(self, inputs)

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        Trainer._save_checkpoint(self, model, trial)  # without TRL's model card

    # One batch, piece by piece.

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Add the gradient of one batch; returns its part of the step's loss. Processes meet at the
        last piece."""
        loss, figures = torch.zeros((), device=self.accelerator.device), BatchFigures()
        for number, piece in enumerate(inputs["pieces"], start=1):
            last = number == len(inputs["pieces"])
            with nullcontext() if last else self.accelerator.no_sync(model):
                given = piece | {"figures": figures}
                loss = loss + Trainer.training_step(self, model, given, num_items_in_batch)
        self.cells.update({name: inputs[name] for name in ("logical", "packed", "cells")})
        means = figures.means(self._sum, self._largest)
        if self.brake:
            self.brake.saw(means["approx_kl"])
        for name, value in means.items():
            self._metrics["train"][f"{FIGURE}{name}"].append(value)
        return loss

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.accelerator.reduce(values, reduction="sum"))

    def _largest(self, value: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.accelerator.gather(value[None])).max()

    def _compute_loss(self, model: torch.nn.Module, inputs: Batch) -> torch.Tensor:
        logps, entropy = self.token_logps(model, inputs)
        tokens = tokens_of(inputs, logps, current=self.replay.old == "current")
        found = self.replay.loss(tokens, inputs["step"])
        entropies = {} if entropy is None else {"entropy": entropy}
        inputs["figures"].add(tokens, entropies | dict(found.figures))
        return found.value * self.accelerator.num_processes  # whose gradients are averaged

    def token_logps(
        self, model: torch.nn.Module, piece: Batch
    ) -> tuple[Float[torch.Tensor, "rows tokens"], Float[torch.Tensor, "rows tokens"] | None]:
        """Log-probabilities and entropies (None if the head gives none) of a piece's completions,
        nats."""
        if "layout" in piece:
            with self.accelerator.autocast():
                return shared_logps(model, base_of(self.policy), piece["layout"])
        ids = torch.cat([piece["prompt_ids"], piece["completion_ids"]], dim=1)
        mask = torch.cat([piece["prompt_mask"], piece["completion_mask"]], dim=1)
        width = piece["completion_ids"].size(1)
        logps, entropy, _ = self._get_per_token_logps_and_entropies(
            model, ids, mask, width, compute_entropy=True
        )
        return logps, entropy

    # Log-probabilities outside the update.

    @torch.no_grad()
    def score(self, rows: Sequence[ReplayRow], *, base: bool = False) -> list[np.ndarray]:
        """Log-probabilities (nats) of the rows' tokens under the current policy, or the base model,
        at the training temperature. Several processes share the work; all must call this.

        Returns
        -------
        list of ndarray of float32, each of shape (T,)
            In the order of `rows`.
        """
        model = self.accelerator.unwrap_model(self.policy)
        training = model.training
        model.eval()
        found: list[tuple[int, np.ndarray]] = []
        with self._uncast(), model.disable_adapter() if base else nullcontext():
            rng, size = np.random.default_rng(0), self.args.per_device_train_batch_size
            for batch in step_batches(sizes_of(rows), size, rng):
                for numbers, piece in self.collator.numbered([rows[i] for i in batch]):
                    logps, _ = self.token_logps(model, self._prepare_inputs(dict(piece)))
                    lines = logps.float().cpu().numpy()
                    for number, line in zip(batch[numbers], lines[: len(numbers)], strict=True):
                        found.append((number, line[: len(rows[number].completion_ids)].copy()))
        model.train(training)
        everyone = gather_object(found) if self.accelerator.num_processes > 1 else found
        return [line for _, line in sorted(everyone, key=lambda one: one[0])]

    def annotate(self) -> None:
        """Fill in recomputed and reference log-probabilities, and fold the importance weights into
        the advantages.

        With pi_old recomputed, the weight w = min(exp(old - logged), cap) corrects for the sampler.
        As w >= 0, min(r w A, clip(r) w A) = w min(r A, clip(r) A): folding it into A is the same
        as weighting the loss.
        """
        rows, cap = [replace(row) for row in self.logged], self.replay.weight_cap
        if self.replay.old == "recompute":
            for row, old in zip(rows, self.score(rows), strict=True):
                row.old_logprobs = old
        if self.replay.old == "recompute" and cap is not None:
            weights = [np.exp(row.old_logprobs - row.logged_logprobs) for row in rows]
            weights = [np.minimum(weight, cap) for weight in weights]
            for row, weight in zip(rows, weights, strict=True):
                row.advantage = row.advantage * weight
            self.weights = np.concatenate(weights)
        if self.replay.reference:
            for row, reference in zip(rows, self.score(rows, base=True), strict=True):
                row.reference_logprobs = reference
        self.rows = rows


class _Hidden(Protocol):
    last_hidden_state: torch.Tensor


def _no_rewards(*_: object, **__: object) -> list[float | None]:
    raise AssertionError("replay never scores completions: TRL's generation path was entered")


def pad_token(base: PreTrainedModel) -> int:
    """The token of empty cells."""
    config = base.generation_config
    assert config is not None and isinstance(config.pad_token_id, int), "the base model pads"
    return config.pad_token_id


def tokens_of(
    piece: Batch, logps: Float[torch.Tensor, "rows tokens"], *, current: bool = False
) -> Tokens:
    """A piece as a loss sees it; `current`: the policy itself is what sampled."""
    now = logps.detach()
    return Tokens(
        logps=logps,
        old=now if current else piece["old_per_token_logps"],
        sampling=now if current else piece["sampling_per_token_logps"],
        advantage=piece["advantages"],
        mask=piece["completion_mask"],
        reference=piece.get("ref_per_token_logps"),
    )


def shared_logps(
    model: torch.nn.Module, base: PreTrainedModel, layout: dict[str, torch.Tensor]
) -> tuple[Float[torch.Tensor, "rows tokens"], Float[torch.Tensor, "rows tokens"] | None]:
    """Log-probabilities and entropies (None if the head gives none), nats, 0 beyond a completion's
    end, of rows laid out by `shared_prompts.lay_out`.

    `model` has TRL's fused head, which divides logits by the training temperature; `base` is the
    transformer in it. Logits are computed at the cells that predict something only.
    """
    cells, labels = layout["cells"], layout["labels"].reshape(-1)
    where = torch.nonzero(labels != IGNORED).squeeze(-1)
    if not len(where):  # a blank piece: one cell, through which a gradient of zero goes everywhere
        where = labels.new_zeros(1)

    def narrow(_module: torch.nn.Module, _given: object, output: _Hidden) -> _Hidden:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden.reshape(-1, hidden.shape[-1])[where][None]
        return output

    hook = base.base_model.register_forward_hook(narrow)
    try:
        outputs = model(
            input_ids=layout["ids"],
            position_ids=layout["positions"],
            attention_mask=attention(layout["seen"], base.config._attn_implementation, base.dtype),
            shift_labels=labels[where][None],
            fused_lm_head=True,
        )
    finally:
        hook.remove()
    place = torch.zeros_like(labels)
    place[where] = torch.arange(len(where), device=place.device)

    def rows(values: torch.Tensor) -> torch.Tensor:
        return values.reshape(-1)[place[cells.clamp(min=0)]].masked_fill(cells < 0, 0)

    return rows(outputs.log_probs), None if outputs.entropy is None else rows(outputs.entropy)


class PairTrainer(DPOTrainer):
    """`trl.DPOTrainer` on pairs of completions as token ids, from which it also goes on.

    TRL keeps a frozen copy of the adapter it starts from, "ref", beside the trained one.

    Parameters
    ----------
    model : PeftModel
    args : DPOConfig
    records : list of dict
        prompt_ids, chosen_ids and rejected_ids, lists of int.
    tokenizer : PreTrainedTokenizerBase
    on_step : OnStep, optional
    """

    def __init__(
        self,
        model: PeftModel,
        args: DPOConfig,
        records: list[dict[str, list[int]]],
        tokenizer: PreTrainedTokenizerBase,
        on_step: OnStep | None = None,
    ) -> None:
        super().__init__(
            model,
            args=args,
            train_dataset=Dataset.from_list(records),
            processing_class=tokenizer,
            callbacks=[StepReport(on_step)],
        )
        self.policy = model
        self.remove_callback(PrinterCallback)

    def _prepare_dataset(self, dataset: Dataset, *_: object, **__: object) -> Dataset:
        return dataset  # TRL would tokenise text

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        """transformers sees "ref" in a directory of its own and then passes over "default"."""
        policy = self.policy if model is None else model
        assert isinstance(policy, PeftModel), type(policy)
        policy.load_adapter(resume_from_checkpoint, "default", is_trainable=True)
