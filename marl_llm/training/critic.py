"""The critic: a value before each completion token, from the frozen base model with a LoRA adapter
and a linear head of its own.

Rows go in, values come out; or rows with returns go in and the critic is fitted to them, in a phase
of its own that never touches the policy. A critic's directory holds an adapter's two files (same
base as the policy's), the head and the two numbers that turn the head's output into reward units,
`value = shift + scale * output`. A new critic says 0 everywhere; its first fit sets shift and scale
to the mean and deviation of the returns, and they stay.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.training.adapters import base_name_of, create_adapter, save_adapter
from marl_llm.training.batching import pieces, step_batches
from marl_llm.training.config import PrecisionChoice
from marl_llm.training.data import ReplayRow, sizes_of
from marl_llm.training.loading import base_of, load_policy
from marl_llm.training.ranks import local_rank
from marl_llm.training.shared_prompts import attention, can_share, lay_out

HEAD_FILE, SCALE_FILE = "critic_head.safetensors", "critic.json"


if TYPE_CHECKING:
    from jaxtyping import Float
    from peft import PeftModel
    from torch import Tensor

    Values = Float[Tensor, " n"]
    """One number per completion token, in outputs of the head."""


class ValueLoss(Protocol):
    """Loss of new values, given targets, old values and how far a value may move."""

    def __call__(
        self, new: Values, target: Values, old: Values, clip: float | None
    ) -> Float[Tensor, ""]:
        """The mean over n tokens."""
        ...


@dataclass(frozen=True)
class CriticSettings:
    """How a critic is made and fitted.

    Attributes
    ----------
    learning_rate, weight_decay, max_grad_norm : float
        Of AdamW; the rate falls linearly to 0.
    epochs, batch_rows : int
        Passes over the rows, and rows per optimizer step.
    rank : int
        LoRA rank of the critic's own adapter (alpha: twice).
    value_clip : float, optional
        How far a value may move in one phase, deviations of the return; None: not limited.
    batch_tokens : int, optional
        Maximum number of cells computed at once.
    precision : str
        As in `TrainConfig`.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    epochs: int = 4
    batch_rows: int = 32
    rank: int = 16
    value_clip: float | None = 1.0
    batch_tokens: int | None = None
    precision: PrecisionChoice = "auto"


@dataclass(frozen=True)
class Fit:
    """How a fitting phase went: mean loss of each epoch (halved squared deviations of the return),
    steps, seconds.
    """

    loss: list[float]
    steps: int
    seconds: float


class Critic:
    """Values of logged rows. Make one with `load_critic`.

    Attributes
    ----------
    fresh : bool
        Never fitted: it says 0 everywhere.
    shift, scale : float
        Reward units.
    """

    def __init__(
        self,
        model: PeftModel,
        head: torch.nn.Linear,
        base_name: str,
        shift: float,
        scale: float,
        fresh: bool,
    ) -> None:
        self._model, self._base_name = model, base_name
        self._device = (
            torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")
        )
        self._head = head.to(self._device)
        self._model.to(self._device)
        self._share = can_share(base_of(model))
        self.shift, self.scale, self.fresh = shift, scale, fresh

    def values(self, rows: Sequence[ReplayRow], settings: CriticSettings) -> list[np.ndarray]:
        """The value before each completion token, reward units; float32, shape (T,) each, in the
        order of `rows`.
        """
        found: list[np.ndarray] = [np.zeros(len(row.completion_ids), np.float32) for row in rows]
        if self.fresh:
            return found
        self._model.eval()
        with torch.no_grad():
            for batch in _batches(rows, settings.batch_rows, np.random.default_rng(0)):
                mine = [rows[i] for i in batch]
                for numbers, layout in self._pieces(mine, settings.batch_tokens):
                    out = self._outputs(layout).cpu().numpy()
                    ends = np.cumsum([len(mine[i].completion_ids) for i in numbers])
                    for number, part in zip(batch[numbers], np.split(out, ends[:-1]), strict=True):
                        found[number] = (self.shift + self.scale * part).astype(np.float32)
        return found

    def fit(
        self,
        rows: Sequence[ReplayRow],
        returns: Sequence[np.ndarray],
        old_values: Sequence[np.ndarray],
        settings: CriticSettings,
        seed: int,
        value_loss: ValueLoss,
    ) -> Fit:
        """Fit adapter and head to the returns.

        Parameters
        ----------
        rows : sequence of ReplayRow
        returns, old_values : sequences of ndarray, each of shape (T,)
            Targets and this critic's values before the phase, reward units.
        settings : CriticSettings
            Its `value_clip` is not applied to a critic that was never fitted.
        seed : int
            Of the order of rows.
        value_loss : ValueLoss

        Raises
        ------
        RunFailed
            The loss stopped being a number.
        """
        loss = partial(value_loss, clip=None if self.fresh else settings.value_clip)
        if self.fresh:
            flat, self.fresh = np.concatenate(list(returns)), False
            self.shift, self.scale = float(flat.mean()), max(float(flat.std()), 1e-6)
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        parameters += list(self._head.parameters())
        optimizer = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        rng, started = np.random.default_rng(seed), time.monotonic()
        plan = [_batches(rows, settings.batch_rows, rng) for _ in range(settings.epochs)]
        steps = sum(len(epoch) for epoch in plan)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        self._model.train()
        examples, epochs = list(zip(rows, returns, old_values, strict=True)), []
        for epoch in plan:
            losses = []
            for batch in epoch:
                optimizer.zero_grad()
                chosen = [examples[i] for i in batch]
                losses.append(self._backward(chosen, loss, settings.batch_tokens))
                torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
                optimizer.step()
                decay.step()
            epochs.append(float(np.mean(losses)))
            if not math.isfinite(epochs[-1]):
                raise RunFailed(
                    "the critic diverged; nothing was published. Lower its role's "
                    "critic_learning_rate."
                )
        return Fit(epochs, steps, time.monotonic() - started)

    def _backward(
        self,
        examples: list[tuple[ReplayRow, np.ndarray, np.ndarray]],
        loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
        budget: int | None,
    ) -> float:
        """Add the gradient of one batch's mean loss over rows, returns and old values, piece by
        piece; returns the loss."""
        rows, total = [row for row, _, _ in examples], 0.0
        tokens = sum(len(row.completion_ids) for row in rows)
        for numbers, layout in self._pieces(rows, budget):
            target = self._outputs_of([examples[i][1] for i in numbers])
            old = self._outputs_of([examples[i][2] for i in numbers])
            part = loss(self._outputs(layout), target, old) * (len(target) / tokens)
            part.backward()
            total += part.item()
        return total

    def save(self, directory: Path) -> None:
        """Write the critic into `directory`, which is created."""
        from safetensors.torch import save_file

        save_adapter(self._model, directory, base_name=self._base_name)
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self._head.state_dict().items()
        }
        save_file(weights, Path(directory) / HEAD_FILE, metadata={"format": "pt"})
        text = json.dumps({"shift": self.shift, "scale": self.scale})
        (Path(directory) / SCALE_FILE).write_text(text + "\n", encoding="utf-8")

    def _outputs_of(self, values: Sequence[np.ndarray]) -> torch.Tensor:
        """Values in reward units as outputs of the head, shape (sum of T,)."""
        flat = (np.concatenate(list(values)) - self.shift) / self.scale
        return torch.from_numpy(flat.astype(np.float32)).to(self._device)

    def _pieces(
        self, rows: Sequence[ReplayRow], budget: int | None
    ) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        """What is computed together: numbers of rows, and their layout with `where`, the cells
        before their tokens.

        What prompts have in common is computed once, where the architecture allows.
        """
        for piece in pieces(sizes_of(rows), budget, share=self._share):
            numbers = np.concatenate(piece)
            width = max(len(rows[i].completion_ids) for i in numbers)
            layout = lay_out([[rows[i] for i in sequence] for sequence in piece], width, pad_id=0)
            lengths = [len(rows[i].completion_ids) for i in numbers]
            layout["where"] = torch.cat(
                [line[:n] for line, n in zip(layout["cells"], lengths, strict=True)]
            )
            yield numbers, {name: tensor.to(self._device) for name, tensor in layout.items()}

    def _outputs(self, layout: dict[str, torch.Tensor]) -> torch.Tensor:
        """The head's output before each completion token, rows one after another, shape (sum of
        T,).
        """
        model, seen = base_of(self._model), layout["seen"]
        kind = model.config._attn_implementation
        mask = attention(seen, kind, model.dtype) if self._share else layout["filled"].long()
        found = model.base_model(
            input_ids=layout["ids"],
            position_ids=layout["positions"],
            attention_mask=mask,
            use_cache=False,
        )
        return self._head(found.last_hidden_state.flatten(0, 1)[layout["where"]].float())[:, 0]


def load_critic(
    base_dir: Path, directory: Path, settings: CriticSettings, workdir: Path, seed: int
) -> Critic:
    """The critic saved in `directory`, or a new one, which says 0 everywhere, if there is none.

    Raises
    ------
    UserError
        `directory` exists and is no critic, or `base_dir` holds no model.
    """
    from safetensors.torch import load_file

    directory = Path(directory)
    if directory.is_dir():
        model, _ = load_policy(base_dir, directory, settings.precision)
        head = _new_head(model)
        try:
            head.load_state_dict(load_file(directory / HEAD_FILE))
            numbers = json.loads((directory / SCALE_FILE).read_text(encoding="utf-8"))
            return Critic(
                model, head, base_name_of(directory), numbers["shift"], numbers["scale"], False
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{directory}: not a critic's directory ({error}); remove it to start a new one."
            ) from None
    Path(workdir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workdir) as made:
        rank = settings.rank
        adapter = create_adapter(
            base_dir, Path(made) / "critic", rank=rank, alpha=2 * rank, seed=seed
        )
        model, _ = load_policy(base_dir, adapter, settings.precision)
        return Critic(model, _new_head(model), base_name_of(adapter), 0.0, 1.0, True)


def _new_head(model: PeftModel) -> torch.nn.Linear:
    head = torch.nn.Linear(base_of(model).config.get_text_config().hidden_size, 1)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    return head


def _batches(
    rows: Sequence[ReplayRow], batch_rows: int, rng: np.random.Generator
) -> list[np.ndarray]:
    return step_batches(sizes_of(rows), batch_rows, rng)
