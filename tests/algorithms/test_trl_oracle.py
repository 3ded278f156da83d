"""Our losses beside TRL's own, value and gradient: TRL is the oracle, whatever the loss type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.algorithms import GRPO
from marl_llm.training.data import replay_rows
from marl_llm.training.trl_adapter import tokens_of
from tests.training.support import grpo_trainer

TYPES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]
Build = Callable[..., tuple[Any, dict[str, Any], Any]]


@pytest.fixture
def build(tiny: Any, logged: pd.DataFrame, tmp_path: Path) -> Build:
    """A trainer, its only piece, and log-probabilities after a large update, as a leaf."""
    import torch

    def _build(**config: Any) -> tuple[Any, dict[str, Any], Any]:
        rows = replay_rows(logged.iloc[:6])[0]
        trainer = grpo_trainer(rows, tiny, tmp_path, batch_rows=6, **config)
        trainer.annotate()
        loader, device = iter(trainer.get_train_dataloader()), trainer.args.device
        [batch], _ = trainer.get_batch_samples(loader, 1, device)
        [piece] = batch["pieces"]
        noise = np.random.default_rng(0).normal(0, 0.5, piece["advantages"].shape)
        moved = piece["old_per_token_logps"] + torch.from_numpy(noise.astype(np.float32))
        return trainer, piece, moved.requires_grad_()

    return _build


def ours(trainer: Any, piece: dict[str, Any], logps: Any) -> Any:
    return trainer.replay.loss(tokens_of(piece, logps), piece["step"])


def theirs(trainer: Any, rule: GRPO, piece: dict[str, Any], logps: Any) -> Any:
    """TRL's loss of the same piece, on the same log-probabilities."""
    import torch

    from marl_llm.training.trl_trainers import GRPOTrainer

    trainer.loss_type, trainer.beta = rule.loss_type, rule.beta
    trainer.epsilon_low, trainer.epsilon_high = rule.epsilon_low, rule.epsilon_high
    trainer.importance_sampling_level = rule.importance_sampling_level
    trainer.max_completion_length = rule.max_completion_tokens
    trainer.current_gradient_accumulation_steps = 1
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logps, logps.detach() * 0, None)
    tokens = float(piece["step"].tokens * trainer.args.steps_per_generation)
    given = piece | {"num_items_in_batch": torch.tensor(tokens)}
    trainer.model.train()
    return GRPOTrainer._compute_loss(trainer, trainer.model, given)


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("loss_type", TYPES)
def test_value_and_gradient_are_trls(build: Build, loss_type: str, level: str, beta: float) -> None:
    high = 1.2 if loss_type == "cispo" else 0.28
    config = {"loss_type": loss_type, "importance_sampling_level": level, "beta": beta}
    config |= {"epsilon_high": high, "max_completion_tokens": 40}
    trainer, piece, logps = build(**config)
    found = ours(trainer, piece, logps)
    found.value.backward()
    gradient, logps.grad = logps.grad, None
    reference = theirs(trainer, GRPO(**config), piece, logps)
    reference.backward()
    assert found.value.item() == pytest.approx(reference.item(), rel=1e-6)
    np.testing.assert_allclose(gradient, logps.grad, rtol=1e-5, atol=1e-8)
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("loss_type", TYPES)
def test_figures_of_a_step_are_trls(build: Build, loss_type: str) -> None:
    config = {"loss_type": loss_type, "beta": 0.1}
    config |= {"epsilon_high": 1.2} if loss_type == "cispo" else {}
    trainer, piece, logps = build(**config)
    mask = piece["completion_mask"]
    means = {
        name: float((values.double() * mask).sum() / mask.sum())
        for name, values in ours(trainer, piece, logps).figures.items()
    }
    theirs(trainer, GRPO(**config), piece, logps)
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    known = {"clip_share": "clip_ratio/region_mean", "kl_base": "kl"}
    known |= {"clip_share": "cispo_clip_ratio"} if loss_type == "cispo" else {}
    expected = {name: metrics[key] for name, key in known.items() if key in metrics}
    assert means == pytest.approx(expected, rel=1e-5)
    assert ("clip_share" in means) == (loss_type not in ("sapo", "vespo"))


def test_the_default_loss_is_trls_to_the_bit(build: Build) -> None:
    trainer, piece, logps = build()
    assert ours(trainer, piece, logps).value.item() == theirs(trainer, GRPO(), piece, logps).item()


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "cispo"])
def test_importance_weights_folded_into_advantages_equal_trls_own(
    build: Build, loss_type: str
) -> None:
    trainer, piece, logps = build(loss_type=loss_type)
    noise = np.random.default_rng(1).normal(0, 0.4, piece["advantages"].shape)
    weight = piece["advantages"].new_tensor(np.exp(noise)).clamp(max=2)
    folded = ours(trainer, piece | {"advantages": piece["advantages"] * weight}, logps).value
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
    given = piece | {"importance_sampling_ratio": weight}
    reference = theirs(trainer, GRPO(loss_type=loss_type), given, logps)
    assert folded.item() == pytest.approx(reference.item(), abs=1e-6)


def test_the_kl_term_is_towards_the_base(build: Build) -> None:
    """At a ratio of one beta times the mean k3 of the two models that `score` tells apart."""
    trainer, piece, _ = build(beta=0.1)
    now = piece["old_per_token_logps"]
    figures = ours(trainer, piece, now).figures
    base, new = trainer.score(trainer.rows, base=True), trainer.score(trainer.rows)
    difference = np.concatenate(base) - np.concatenate(new)
    assert np.abs(difference).max() > 0.01
    mask = piece["completion_mask"]
    mean = (figures["kl_base"] * mask).sum() / mask.sum()
    k3 = np.exp(difference) - difference - 1
    assert mean.item() == pytest.approx(k3.mean(), rel=1e-3)
