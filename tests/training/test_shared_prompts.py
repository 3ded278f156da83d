"""Prompts computed once: every number is that of the row computed alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.loading import load_policy
from tests.training.support import grpo_trainer


@pytest.fixture(scope="module")
def rows(logged: pd.DataFrame) -> list[ReplayRow]:
    """Three groups of four, of completions of 12 tokens, some of which are cut so that lengths
    differ.
    """
    frame = logged.iloc[:12].copy()
    for i in (1, 5, 6):
        for name in ("completion_ids", "logprobs"):
            frame.at[i, name] = frame.at[i, name][: i + 2]
    return replay_rows(frame)[0]


@pytest.fixture
def build(tiny: Any, rows: list[ReplayRow], tmp_path: Path) -> Callable[..., Any]:
    def _build(**config: Any) -> Any:
        return grpo_trainer(rows, tiny, tmp_path, **{"batch_rows": 12, **config})

    return _build


def _alone(model: Any, row: ReplayRow, temperature: float) -> tuple[Any, Any]:
    """Log-probabilities and entropies of one row by the model's own logits, without TRL."""
    import torch

    ids = torch.from_numpy(np.concatenate([row.prompt_ids, row.completion_ids]))[None]
    logps = (
        model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1].float() / temperature
    ).log_softmax(-1)
    chosen = logps.gather(1, torch.from_numpy(row.completion_ids)[:, None])[:, 0]
    return chosen, -(logps.exp() * logps).sum(-1)


def _gradients(model: Any) -> dict[str, Any]:
    return {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_entropies_and_gradients_are_those_of_each_row_alone(
    build: Callable, rows: list[ReplayRow], implementation: str, temperature: float
) -> None:
    import torch

    trainer = build(temperature=temperature)
    model = trainer.model
    model.base_model.model.set_attn_implementation(implementation)
    [(numbers, piece)] = trainer.collator.numbered(rows)
    assert piece["layout"]["ids"].shape[0] == 3, "12 rows of 3 prompts are 3 sequences"
    logps, entropies = trainer.token_logps(model, piece)
    weights = [
        torch.from_numpy(np.random.default_rng(i).normal(size=len(row.completion_ids)))
        for i, row in enumerate(rows)
    ]
    torch.stack(
        [(logps[at, : len(weights[i])] * weights[i]).sum() for at, i in enumerate(numbers)]
    ).sum().backward()
    shared = _gradients(model)
    model.zero_grad()
    for at, i in enumerate(numbers):
        chosen, entropy = _alone(model, rows[i], temperature)
        tokens = len(rows[i].completion_ids)
        assert torch.allclose(logps[at, :tokens], chosen, atol=1e-5)
        assert torch.allclose(entropies[at, :tokens], entropy, atol=1e-5)
        assert not logps[at, tokens:].any() and not entropies[at, tokens:].any()
        (chosen * weights[i]).sum().backward()
    alone = _gradients(model)
    assert shared.keys() == alone.keys() and len(shared) == 28
    for name, gradient in alone.items():
        assert torch.allclose(
            shared[name], gradient, atol=1e-5 * max(1, float(gradient.abs().max()))
        ), name


def test_what_different_prompts_have_in_common_is_computed_once_and_changes_no_number(
    build: Callable,
) -> None:
    """Prompts that branch at several depths, one that another goes on from, one that differs in the
    last token only.
    """
    prompts = [
        [5, 6, 7, 8, 9],
        [5, 6, 7, 8, 9],
        [5, 6, 7, 8, 4],
        [5, 6, 7],
        [5, 6, 3, 2, 9, 9],
        [8, 8],
    ]
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"prompt_ids": [np.array(ids) for ids in prompts]})
    frame["completion_ids"] = [rng.integers(3, 20, n) for n in (3, 1, 4, 2, 3, 2)]
    frame["logprobs"] = [np.zeros(len(ids)) for ids in frame["completion_ids"]]
    rows = replay_rows(frame.assign(advantage=1.0))[0]
    trainer = build()
    [(numbers, piece)] = trainer.collator.numbered(rows)
    tree = 5 + 2 + 1  # 5 6 3 2 9, 7 8 behind 5 6, and 8 in a sequence of its own
    assert piece["layout"]["filled"].sum() == tree + 3 + 1 + 4 + 2 + 3 + 2
    logps, _ = trainer.token_logps(trainer.model, piece)
    assert len(set(numbers.tolist())) == len(rows)
    for at, i in enumerate(numbers):
        chosen, _ = _alone(trainer.model, rows[i], 1.0)
        np.testing.assert_allclose(logps[at, : len(chosen)].detach(), chosen.detach(), atol=1e-5)


def test_the_head_is_computed_where_a_token_is_predicted_only(
    build: Callable, rows: list[ReplayRow]
) -> None:
    trainer = build()
    seen: list[int] = []
    head = trainer.model.get_base_model().base_model
    [(_, piece)] = trainer.collator.numbered(rows)
    original = head.register_forward_hook

    def after(hook: Any) -> Any:
        handle = original(hook)
        original(lambda _m, _g, output: seen.append(output.last_hidden_state.shape[1]))
        return handle

    head.register_forward_hook = after
    trainer.token_logps(trainer.model, piece)
    assert seen == [sum(len(row.completion_ids) for row in rows)]


def test_beyond_a_completions_end_there_is_nothing_even_behind_a_prompt_of_one_token(
    build: Callable,
) -> None:
    """Then cell 0, where what is missing points to, does predict a token."""
    frame = pd.DataFrame(
        {"prompt_ids": [np.array([7])] * 2, "completion_ids": [np.array([9, 8, 7]), np.array([5])]}
    )
    frame["logprobs"] = [np.zeros(3), np.zeros(1)]
    rows = replay_rows(frame.assign(advantage=1.0))[0]
    trainer = build()
    [(numbers, piece)] = trainer.collator.numbered(rows)
    logps, _ = trainer.token_logps(trainer.model, piece)
    assert sorted((logps != 0).sum(1).tolist()) == [1, 3]
    for at, i in enumerate(numbers):
        chosen, _ = _alone(trainer.model, rows[i], 1.0)
        np.testing.assert_allclose(logps[at, : len(chosen)].detach(), chosen.detach(), atol=1e-5)


def test_a_step_is_the_same_with_and_without_sharing_and_with_activations_recomputed(
    build: Callable,
) -> None:
    import torch

    found = []
    for share, checkpointing in ((True, False), (False, False), (True, True)):
        trainer = build(loss_type="grpo", gradient_checkpointing=checkpointing)
        trainer.collator._share = share
        [batch], _ = trainer.get_batch_samples(
            iter(trainer.get_train_dataloader()), 1, trainer.args.device
        )
        assert ("layout" in batch["pieces"][0]) == share
        trainer.current_gradient_accumulation_steps = 1
        loss = trainer.training_step(trainer.model, batch)
        found.append((loss, _gradients(trainer.model), trainer.cells))
    loss, shared, cells = found[0]
    for other, gradients, _ in found[1:]:
        assert torch.allclose(loss, other, atol=1e-6)
        for name, gradient in gradients.items():
            assert torch.allclose(shared[name], gradient, atol=1e-5), name
    all_cells = found[1][2]
    assert cells["packed"] < all_cells["packed"] < all_cells["logical"] == cells["logical"]


def test_a_model_with_a_sliding_window_or_of_another_kind_computes_each_row_by_itself(
    tiny: Any,
) -> None:
    from marl_llm.training.shared_prompts import can_share

    model, _ = load_policy(tiny.base_dir, tiny.adapter_dir, "auto")
    config = model.config
    assert can_share(model)
    config.layer_types = ["full_attention", "sliding_attention"]
    assert not can_share(model)
    config.layer_types = ["full_attention"] * 2
    config._attn_implementation = "flash_attention_2"
    assert not can_share(model)
    config._attn_implementation = "sdpa"
    config.model_type = "mamba"
    assert not can_share(model)
