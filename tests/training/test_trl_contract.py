"""What we rely on inside TRL 1.16: the private seams exist, and the loss they compute is the one we
mean.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.training.data import ReplayRow, replay_rows
from tests.training.support import grpo_trainer


@pytest.fixture(scope="module")
def rows(logged: pd.DataFrame) -> list[ReplayRow]:
    return replay_rows(logged.iloc[:6])[0]


@pytest.fixture
def build(tiny: Any, rows: list[ReplayRow], tmp_path: Path) -> Callable[..., Any]:
    def _build(**config: Any) -> Any:
        return grpo_trainer(rows, tiny, tmp_path, batch_rows=6, **config)

    return _build


def test_trl_is_the_pinned_version() -> None:
    import trl

    assert trl.__version__.startswith("1.16."), (
        f"trl {trl.__version__}: trl_adapter.py uses private seams of 1.16; read its opening, "
        "check each of them, then move the pin"
    )


def test_the_private_seams_exist() -> None:
    from transformers import Trainer

    from marl_llm.training.trl_trainers import DPOTrainer, GRPOTrainer

    for name in (
        "_compute_loss",
        "_get_per_token_logps_and_entropies",
        "_prepare_inputs",
        "training_step",
    ):
        assert callable(getattr(GRPOTrainer, name)), name
    for name in (
        "get_train_dataloader",
        "get_batch_samples",
        "_prepare_inputs",
        "training_step",
        "_save_checkpoint",
    ):
        assert callable(getattr(Trainer, name)), name
    arguments = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert arguments[1:5] == ["model", "input_ids", "attention_mask", "logits_to_keep"]
    assert "return self._compute_loss(model, inputs)" in inspect.getsource(GRPOTrainer.compute_loss)
    assert "self._metrics[mode].items()" in inspect.getsource(GRPOTrainer.log), (
        "figures are logged otherwise"
    )
    for name in ("_prepare_dataset", "_load_from_checkpoint"):
        assert callable(getattr(DPOTrainer, name)), name


def test_the_trainers_are_imported_without_vllm_and_trl_finds_it_again_afterwards() -> None:
    from trl import import_utils

    from marl_llm.training.trl_trainers import GRPOTrainer

    generation = sys.modules[GRPOTrainer.__module__].VLLMGeneration
    assert not hasattr(sys.modules[generation.__module__], "LLM")
    assert import_utils.is_vllm_available.__module__ == import_utils.__name__


def test_what_the_loss_returns_is_not_scaled(build: Callable) -> None:
    """Of a step of three batches each batch's gradient counts whole."""
    trainer = build(gradient_accumulation=3)
    assert (
        trainer.compute_loss_func is not None
        and trainer.accelerator.gradient_accumulation_steps == 1
    )


def test_the_fused_head_still_takes_shifted_labels_a_mask_of_our_own_and_positions(
    build: Callable,
) -> None:
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
        assert out.log_probs[0, place].item() == pytest.approx(
            plain[place, labels[0, place]].item(), abs=1e-5
        )


def test_the_trainer_never_enters_trls_generation(build: Callable) -> None:
    trainer = build()
    trainer._generate_and_score_completions = None
    assert trainer.ref_model is None and list(trainer.model.peft_config) == ["default"]
    with_kl = build(beta=0.1)
    assert (
        with_kl.replay.reference
        and list(with_kl.model.peft_config) == ["default"]
        and not trainer.use_vllm
    )
    trainer.train()
    assert trainer.state.global_step == 1


def test_recompute_folds_the_truncated_weight_per_token(
    build: Callable, rows: list[ReplayRow]
) -> None:
    trainer = build(old_logps="recompute", tis_cap=1.1)
    shift = np.linspace(-0.5, 0.5, len(rows[0].completion_ids)).astype(np.float32)
    true = rows[0].logged_logprobs
    changed = replay_rows(
        pd.DataFrame(
            [
                {
                    "prompt_ids": rows[0].prompt_ids,
                    "completion_ids": rows[0].completion_ids,
                    "logprobs": true - shift,
                    "advantage": 2.0,
                }
            ]
        )
    )[0]
    trainer.logged = changed
    trainer.annotate()
    row = trainer.rows[0]
    np.testing.assert_allclose(row.old_logprobs, true, atol=1e-4)
    np.testing.assert_allclose(row.advantage, 2 * np.minimum(np.exp(shift), 1.1), rtol=1e-3)
    assert changed[0].advantage[0] == 2.0, "the caller's rows stay as they were"


def test_scores_do_not_depend_on_padding_or_company(build: Callable, rows: list[ReplayRow]) -> None:
    trainer = build()
    together, alone = trainer.score(rows), [trainer.score([row])[0] for row in rows]
    for one, other, row in zip(together, alone, rows, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
        np.testing.assert_allclose(one, row.logged_logprobs, atol=1e-3)
