"""What we rely on inside TRL 1.16: the private seams exist, and the loss they compute is the one we mean."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.training.config import TrainConfig
from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.policy_phase import build_trainer


@pytest.fixture(scope="module")
def rows(logged: pd.DataFrame) -> list[ReplayRow]:
    return replay_rows(logged.iloc[:6])[0]


@pytest.fixture
def build(tiny: Any, rows: list[ReplayRow], tmp_path: Path) -> Callable[..., Any]:
    def _build(**config: Any) -> Any:
        trainer = build_trainer(
            rows, tiny.base_dir, tiny.adapter_dir, TrainConfig(batch_rows=6, **config), tmp_path, seed=0
        )
        trainer.current_gradient_accumulation_steps = 1
        return trainer

    return _build


def _batch(trainer: Any) -> dict[str, Any]:
    """The first piece of the first batch as training sees it."""
    if not trainer._annotated:
        trainer.annotate()
    batches, _ = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), 1, trainer.args.device)
    return trainer._prepare_inputs(batches[0]["pieces"][0])


def _noise(batch: dict[str, Any], seed: int = 0, scale: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, batch["advantages"].shape).astype(np.float32)


def test_trl_is_the_pinned_version() -> None:
    import trl

    assert trl.__version__.startswith("1.16."), (
        f"trl {trl.__version__}: replay_grpo.py uses private seams of 1.16; read its opening, "
        "check each of them, then move the pin"
    )


def test_the_private_seams_exist() -> None:
    from transformers import Trainer
    from trl.trainer.grpo_trainer import GRPOTrainer

    for name in ("_compute_loss", "_get_per_token_logps_and_entropies", "_prepare_inputs", "training_step"):
        assert callable(getattr(GRPOTrainer, name)), name
    for name in ("get_train_dataloader", "get_batch_samples", "_prepare_inputs", "training_step", "_save_checkpoint"):
        assert callable(getattr(Trainer, name)), name
    arguments = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert arguments[1:5] == ["model", "input_ids", "attention_mask", "logits_to_keep"]
    source = inspect.getsource(GRPOTrainer._compute_loss)
    for key in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages", "num_items_in_batch"):
        assert f'inputs["{key}"]' in source, f"_compute_loss no longer reads {key}"
    assert 'inputs.get("old_per_token_logps")' in source and 'inputs["ref_per_token_logps"]' in source
    assert "advantages.dim() == 1" in source, "advantages of shape (B, T) are no longer provided for"
    assert "/ self.args.steps_per_generation" in source, "the dapo normaliser is scaled otherwise"
    assert source.count("normalizer = self.current_gradient_accumulation_steps if mode") == 5
    assert "self.accelerator.gather(masked_seq_mean(" in source, "pieces need no longer have equally many rows"


def test_the_fused_head_still_takes_shifted_labels_a_mask_of_our_own_and_positions(build: Callable) -> None:
    import torch

    trainer = build()
    ids = torch.arange(2, 8)[None]
    seen = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    given = {"input_ids": ids, "position_ids": torch.arange(6)[None], "attention_mask": seen}
    labels = torch.tensor([[-100, 9, 5, -100, 3, 4]])
    out = trainer.model(**given, shift_labels=labels, fused_lm_head=True)
    plain = trainer.model(input_ids=ids).logits.log_softmax(-1)[0]
    assert out.log_probs.shape == out.entropy.shape == (1, 6)
    assert out.log_probs[0, 0] == out.log_probs[0, 3] == 0
    for place in (1, 2, 4, 5):
        assert out.log_probs[0, place].item() == pytest.approx(plain[place, labels[0, place]].item(), abs=1e-5)


def test_the_trainer_never_enters_trls_generation(build: Callable) -> None:
    trainer = build()
    trainer._generate_and_score_completions = None
    assert trainer.ref_model is None and list(trainer.model.peft_config) == ["default"]
    with_kl = build(beta=0.1)
    assert with_kl.beta == 0.1 and list(with_kl.model.peft_config) == ["default"] and not trainer.use_vllm
    trainer.train()
    assert trainer.state.global_step == 1


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_the_loss_is_the_clipped_objective_of_the_papers(build: Callable, loss_type: str) -> None:
    trainer = build(loss_type=loss_type, epsilon_low=0.2, epsilon_high=0.28, beta=0.0)
    batch = _batch(trainer)
    batch["old_per_token_logps"] = batch["old_per_token_logps"] + batch["old_per_token_logps"].new_tensor(_noise(batch))
    loss = trainer._compute_loss(trainer.model, batch).item()
    new = trainer._last_logps.numpy()
    arrays = {key: batch[key].numpy() for key in ("old_per_token_logps", "advantages", "completion_mask")}
    ratio = np.exp(new - arrays["old_per_token_logps"])
    gain = np.minimum(
        ratio * arrays["advantages"],
        np.where(ratio < 0.8, 0.8, np.where(ratio > 1.28, 1.28, ratio)) * arrays["advantages"],
    )
    mask = arrays["completion_mask"]
    if loss_type == "grpo":  # mean over completions of the mean over tokens
        expected = -np.mean([gain[i][mask[i] == 1].mean() for i in range(len(gain))])
    else:  # mean over all tokens
        expected = -gain[mask == 1].mean()
    assert ((ratio > 1.28) & (mask == 1)).any(), "the batch must exercise the clip"
    assert loss == pytest.approx(float(expected), abs=1e-5)


def test_the_kl_term_is_towards_the_base(build: Callable) -> None:
    trainer = build(loss_type="dapo", beta=0.1)
    batch = _batch(trainer)
    trainer.args.use_bias_correction_kl = False
    with_kl = trainer._compute_loss(trainer.model, batch).item()
    trainer.beta = 0.0
    without = trainer._compute_loss(trainer.model, batch).item()
    base = trainer.score(trainer.train_dataset, base=True)
    new = trainer.score(trainer.train_dataset)
    difference = np.concatenate(base) - np.concatenate(new)
    assert np.abs(difference).max() > 0.01
    assert with_kl - without == pytest.approx(0.1 * np.mean(np.exp(difference) - difference - 1), rel=1e-3)


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "cispo"])
def test_importance_weights_folded_into_advantages_equal_trls_own(build: Callable, loss_type: str) -> None:
    trainer = build(loss_type=loss_type)
    batch = _batch(trainer)
    batch["old_per_token_logps"] = batch["old_per_token_logps"] + batch["advantages"].new_tensor(_noise(batch))
    weight = batch["advantages"].new_tensor(np.exp(_noise(batch, seed=1))).clamp(max=2)
    ours = trainer._compute_loss(trainer.model, {**batch, "advantages": batch["advantages"] * weight}).item()
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
    theirs = trainer._compute_loss(trainer.model, {**batch, "importance_sampling_ratio": weight}).item()
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_recompute_folds_the_truncated_weight_per_token(build: Callable, rows: list[ReplayRow]) -> None:
    trainer = build(old_logps="recompute", tis_cap=1.1)
    shift = np.linspace(-0.5, 0.5, len(rows[0].completion_ids)).astype(np.float32)
    true = rows[0].logged_logprobs
    changed = replay_rows(pd.DataFrame([{"prompt_ids": rows[0].prompt_ids, "completion_ids": rows[0].completion_ids,
                                         "logprobs": true - shift, "advantage": 2.0}]))[0]  # fmt: skip
    trainer.train_dataset = changed
    trainer.annotate()
    row = trainer.train_dataset[0]
    np.testing.assert_allclose(row.old_logprobs, true, atol=1e-4)
    np.testing.assert_allclose(row.advantage, 2 * np.minimum(np.exp(shift), 1.1), rtol=1e-3)
    assert changed[0].advantage[0] == 2.0, "the caller's rows stay as they were"


def test_scores_do_not_depend_on_padding_or_company(build: Callable, rows: list[ReplayRow]) -> None:
    trainer = build()
    together, alone = trainer.score(rows), [trainer.score([row])[0] for row in rows]
    for one, other, row in zip(together, alone, rows, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
        np.testing.assert_allclose(one, row.logged_logprobs, atol=1e-3)
