"""Every loss type as it reaches the optimizer, against the formula of its paper in numpy: value and
gradient of one optimizer step, however the step is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.loss import PieceLoss
from marl_llm.training.trl_adapter import tokens_of
from tests.training.support import grpo_trainer

LOW, HIGH, LONGEST = 0.2, 0.28, 40
LOSSES = [
    "grpo",
    "gspo",
    "dapo",
    "bnpo",
    "dr_grpo",
    "cispo",
    "sapo",
    "luspo",
    "luspo by token",
    "vespo",
]


@pytest.fixture(scope="module")
def rows(logged: pd.DataFrame) -> list[ReplayRow]:
    """Two groups of four and two of two, of unequal lengths."""
    frame = logged.iloc[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13]].copy()
    for place, i in enumerate(frame.index[::2]):
        for name in ("completion_ids", "logprobs"):
            frame.at[i, name] = frame.at[i, name][: place + 1]
    return replay_rows(frame)[0]


@pytest.fixture
def build(tiny: Any, rows: list[ReplayRow], tmp_path: Path) -> Callable[..., Any]:
    def _build(loss: str, **config: Any) -> Any:
        settings: dict[str, Any] = {
            "batch_rows": 12,
            "max_completion_tokens": LONGEST,
            **_options(loss),
            **config,
        }
        trainer = grpo_trainer(rows, tiny, tmp_path / "work", **settings)
        trainer.annotate()
        return trainer

    return _build


def _options(loss: str) -> dict[str, Any]:
    if loss == "gspo":
        return {"loss_type": "grpo", "importance_sampling_level": "sequence"}
    if loss == "luspo":
        return {"loss_type": "luspo", "importance_sampling_level": "sequence"}
    if loss == "cispo":
        return {"loss_type": "cispo", "epsilon_high": 1.2}
    return {"loss_type": loss.removesuffix(" by token")}


# The formulas. `new` are a row's log-probabilities; where a paper stops the gradient, `fixed` are
# the same numbers.


def _token_losses(
    loss: str, new: np.ndarray, fixed: np.ndarray, old: np.ndarray, gain: float
) -> np.ndarray:
    if loss == "cispo":  # MiniMax-M1: REINFORCE with a truncated weight
        return -np.minimum(np.exp(fixed - old), 1.2) * gain * new
    if loss == "vespo":  # Gamma weight of the sequence's ratio
        k, rate = (2.0, 3.0) if gain >= 0 else (3.0, 2.0)
        ratio = np.exp((fixed - old).sum())
        return -(np.exp(rate) * ratio**k * np.exp(-rate * ratio)) * gain * new
    ratio = (
        np.exp((new - old).mean()) * np.ones_like(new)
        if loss in ("gspo", "luspo")
        else np.exp(new - old)
    )
    if loss == "sapo":  # a sigmoid in place of the clip
        heat = 1.0 if gain > 0 else 1.05
        return -4 / heat / (1 + np.exp(-heat * (ratio - 1))) * gain
    return -np.minimum(ratio * gain, np.clip(ratio, 1 - LOW, 1 + HIGH) * gain)


def _step_loss(loss: str, parts: list[np.ndarray]) -> float:
    """One number from the token losses of all rows of a step."""
    if loss in ("grpo", "gspo", "sapo"):
        return float(np.mean([part.mean() for part in parts]))
    if loss in ("luspo", "luspo by token"):
        return float(np.mean([part.sum() for part in parts]))
    total = sum(part.sum() for part in parts)
    return float(
        total / (len(parts) * LONGEST if loss == "dr_grpo" else sum(len(part) for part in parts))
    )


def _reference(
    loss: str, rows: list[tuple[np.ndarray, np.ndarray, float]]
) -> tuple[float, list[np.ndarray]]:
    """The step's loss and its derivative by each log-probability, by central differences."""

    def value(changed: int, new: np.ndarray) -> float:
        parts = [
            _token_losses(loss, new if i == changed else n, n, old, gain)
            for i, (n, old, gain) in enumerate(rows)
        ]
        return _step_loss(loss, parts)

    slopes = []
    for i, (new, _, _) in enumerate(rows):
        ends = [
            [value(i, new + sign * 1e-6 * unit) for sign in (1, -1)] for unit in np.eye(len(new))
        ]
        slopes.append(np.array([(up - down) / 2e-6 for up, down in ends]))
    return value(-1, rows[0][0]), slopes


def _moved(piece: dict[str, Any], rng: np.random.Generator) -> Any:
    """Log-probabilities after a large update, as a leaf."""
    import torch

    noise = rng.normal(0, 0.5, piece["old_per_token_logps"].shape)
    return (
        piece["old_per_token_logps"] + torch.from_numpy(noise.astype(np.float32))
    ).requires_grad_()


@pytest.mark.parametrize("loss", LOSSES)
def test_value_and_gradient_of_a_step_are_those_of_the_formula(build: Callable, loss: str) -> None:
    trainer = build(loss, batch_rows=6, gradient_accumulation=2, batch_tokens=35)
    batches, _ = trainer.get_batch_samples(
        iter(trainer.get_train_dataloader()), 2, trainer.args.device
    )
    trainer.current_gradient_accumulation_steps = 2
    pieces = [trainer._prepare_inputs(piece) for batch in batches for piece in batch["pieces"]]
    assert (
        len(batches) == 2
        and len(pieces) > 3
        and len({len(piece["advantages"]) for piece in pieces}) > 1
    )
    rng, total, rows, slopes = np.random.default_rng(0), 0.0, [], []
    for piece in pieces:
        logps = _moved(piece, rng)
        value = _loss(trainer, piece, logps).value
        value.backward()
        total += value.item()
        for line, mask in enumerate(piece["completion_mask"].bool()):
            names = (logps.detach(), piece["old_per_token_logps"])
            new, old = (array[line][mask].double().numpy() for array in names)
            rows.append((new, old, float(piece["advantages"][line, 0])))
            slopes.append(logps.grad[line][mask].numpy())
    expected, by_hand = _reference(loss, rows)
    assert total == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for ours, theirs in zip(slopes, by_hand, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert {gain > 0 for _, _, gain in rows} == {True, False}


def _loss(trainer: Any, piece: dict[str, Any], logps: Any) -> PieceLoss:
    return trainer.replay.loss(tokens_of(piece, logps), piece["step"])


def test_the_kl_term_is_weighted_by_the_ratio(build: Callable) -> None:
    """k3 towards the base, times the ratio, as in DeepSeek-V3.2; value only."""
    trainer = build("dapo", beta=0.3)
    [batch], _ = trainer.get_batch_samples(
        iter(trainer.get_train_dataloader()), 1, trainer.args.device
    )
    trainer.current_gradient_accumulation_steps = 1
    [piece] = batch["pieces"]
    logps = _moved(piece, np.random.default_rng(0))
    with_kl = _loss(trainer, piece, logps).value.item()
    without = build("dapo").replay.loss(tokens_of(piece, logps), piece["step"]).value.item()
    mask = piece["completion_mask"].bool()
    new, old, base = (
        array[mask].detach().double().numpy()
        for array in (logps, piece["old_per_token_logps"], piece["ref_per_token_logps"])
    )
    k3 = np.exp(base - new) - (base - new) - 1
    assert with_kl - without == pytest.approx(
        0.3 * float((k3 * np.exp(new - old)).mean()), rel=1e-4
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_does_not_depend_on_how_a_step_is_cut(build: Callable, loss: str) -> None:
    import torch

    cuts: list[dict[str, Any]] = [
        {},
        {"batch_tokens": 50},
        {"batch_rows": 4, "gradient_accumulation": 3, "batch_tokens": 30},
    ]
    found = [_step(build(loss, **cut), cut.get("gradient_accumulation", 1)) for cut in cuts]
    (value, whole), others = found[0], found[1:]
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-3
    for other, gradients in others:
        assert other == pytest.approx(value, rel=1e-4, abs=1e-6)
        for name, gradient in whole.items():
            assert torch.allclose(gradients[name], gradient, atol=1e-5), name


def _step(trainer: Any, batches: int) -> tuple[float, dict[str, Any]]:
    """Loss and gradients of one optimizer step, computed as transformers.Trainer does."""
    samples, _ = trainer.get_batch_samples(
        iter(trainer.get_train_dataloader()), batches, trainer.args.device
    )
    trainer.current_gradient_accumulation_steps = len(samples)
    value = sum(trainer.training_step(trainer.model, batch).item() for batch in samples)
    return value, {
        n: w.grad.clone() for n, w in trainer.model.named_parameters() if w.grad is not None
    }
