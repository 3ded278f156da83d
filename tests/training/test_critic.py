"""The critic: a value before each token, fitted apart from the policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_llm.algorithms.ppo import value_loss
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.credit.gae import explained_variance
from marl_llm.training.adapters import adapter_sha256
from marl_llm.training.critic import CriticSettings
from marl_llm.training.data import ReplayRow

CONFIG = CriticSettings(learning_rate=1e-2, epochs=10, batch_rows=16, rank=4, value_clip=None)
Returns = list[np.ndarray]


def made(seed: int, count: int = 96) -> tuple[list[ReplayRow], Returns]:
    """Rows whose return is 3 where the prompt ends with token 5 and 1 where it ends with token 6,
    and noise.
    """
    rng = np.random.default_rng(seed)
    rows, returns = [], []
    for number in range(count):
        good, length = bool(rng.integers(2)), int(rng.integers(1, 5))
        prompt = np.append(rng.integers(10, 250, int(rng.integers(2, 8))), 5 if good else 6)
        zeros = np.zeros(length, np.float32)
        rows.append(ReplayRow(f"row {number}", prompt, rng.integers(10, 250, length), zeros, zeros))
        returns.append(np.full(length, 3.0 if good else 1.0) + 0.1 * rng.normal(size=length))
    return rows, returns


@pytest.fixture
def critic(tiny: Any, tmp_path: Path) -> Callable[..., Any]:
    from marl_llm.training.critic import load_critic

    def _critic(directory: str = "nothing", config: CriticSettings = CONFIG) -> Any:
        return load_critic(tiny.base_dir, tmp_path / directory, config, tmp_path / "work", seed=0)

    return _critic


def flat(arrays: Returns) -> np.ndarray:
    return np.concatenate(arrays)


def test_a_new_critic_says_nothing_and_a_fitted_one_explains_rows_it_has_not_seen(
    critic: Callable,
) -> None:
    (rows, returns), (unseen, truth) = made(0), made(1)
    values = critic()
    nothing = values.values(rows, CONFIG)
    assert (
        values.fresh
        and [v.shape for v in nothing] == [r.shape for r in returns]
        and not flat(nothing).any()
    )
    fit = values.fit(rows, returns, nothing, CONFIG, seed=0, value_loss=value_loss)
    assert (
        not values.fresh
        and fit.steps == 60
        and len(fit.loss) == 10
        and fit.loss[-1] < 0.5 * fit.loss[0]
    )
    assert explained_variance(flat(truth), flat(values.values(unseen, CONFIG))) > 0.5
    assert abs(flat(values.values(unseen, CONFIG)).mean() - 2) < 0.3, "in reward units"


def test_a_value_is_that_before_its_token(critic: Callable) -> None:
    """What a token is can change the values of later tokens only."""
    rows, returns = made(0, 32)
    values = critic()
    values.fit(
        rows, returns, [np.zeros_like(r) for r in returns], CONFIG, seed=0, value_loss=value_loss
    )
    row = next(row for row in rows if len(row.completion_ids) == 4)
    for place in range(4):
        changed = row.completion_ids.copy()
        changed[place] = 99
        before, after = values.values(
            [row, dataclasses.replace(row, completion_ids=changed)], CONFIG
        )
        same = before == pytest.approx(after, abs=1e-5)
        assert before[: place + 1] == pytest.approx(after[: place + 1], abs=1e-5)
        assert same == (place == 3), "the last token is after all values"


def test_values_do_not_depend_on_the_batch(critic: Callable) -> None:
    rows, returns = made(0, 20)
    values = critic()
    values.fit(
        rows, returns, [np.zeros_like(r) for r in returns], CONFIG, seed=0, value_loss=value_loss
    )
    together = flat(values.values(rows, CONFIG))
    for change in ({"batch_rows": 1}, {"batch_tokens": 16}):
        np.testing.assert_allclose(
            flat(values.values(rows, dataclasses.replace(CONFIG, **change))), together, atol=1e-5
        )


def test_the_fit_does_not_depend_on_how_a_batch_is_computed(critic: Callable) -> None:
    rows, returns = made(0, 24)
    rows += [
        dataclasses.replace(row, completion_ids=row.completion_ids[::-1].copy()) for row in rows[:8]
    ]  # one prompt
    returns, zeros = returns + returns[:8], [np.zeros(len(row.completion_ids)) for row in rows]
    fitted = []
    for change in ({}, {"batch_tokens": 16}):
        config = dataclasses.replace(CONFIG, epochs=2, **change)
        fitted.append(critic())
        fitted[-1].fit(rows, returns, zeros, config, seed=0, value_loss=value_loss)
    np.testing.assert_allclose(
        flat(fitted[0].values(rows, CONFIG)), flat(fitted[1].values(rows, CONFIG)), atol=1e-3
    )


def test_a_saved_critic_says_the_same_and_goes_on_from_there(
    critic: Callable, tmp_path: Path
) -> None:
    rows, returns = made(0, 32)
    first = critic()
    first.fit(
        rows, returns, [np.zeros_like(r) for r in returns], CONFIG, seed=0, value_loss=value_loss
    )
    first.save(tmp_path / "saved")
    again = critic("saved")
    assert not again.fresh and (again.shift, again.scale) == (first.shift, first.scale)
    np.testing.assert_allclose(
        flat(again.values(rows, CONFIG)), flat(first.values(rows, CONFIG)), atol=1e-6
    )
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert names == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "critic_head.safetensors",
        "critic.json",
    }
    again.fit(
        rows,
        [r + 100 for r in returns],
        first.values(rows, CONFIG),
        CONFIG,
        seed=0,
        value_loss=value_loss,
    )
    assert again.shift == first.shift, "the units of a critic stay"


def test_the_policy_is_not_touched(critic: Callable, tiny: Any) -> None:
    rows, returns = made(0, 16)
    critic().fit(
        rows, returns, [np.zeros_like(r) for r in returns], CONFIG, seed=0, value_loss=value_loss
    )
    assert adapter_sha256(tiny.adapter_dir) == tiny.sha256


def test_the_clipped_loss_is_ppos() -> None:
    import torch

    rng = np.random.default_rng(0)
    new, target, old = rng.normal(size=(3, 200))
    near = old + np.clip(new - old, -0.3, 0.3)
    expected = 0.5 * np.maximum((new - target) ** 2, (near - target) ** 2).mean()
    values = torch.tensor(new, requires_grad=True)
    loss = value_loss(values, torch.tensor(target), torch.tensor(old), 0.3)
    loss.backward()
    assert loss.item() == pytest.approx(expected)
    held = (near - target) ** 2 > (
        new - target
    ) ** 2  # moved further than allowed, towards the target
    assert held.any() and not values.grad.numpy()[held].any()
    np.testing.assert_allclose(values.grad.numpy()[~held], (new - target)[~held] / 200)
    free = value_loss(values, torch.tensor(target), torch.tensor(old), None)
    assert free.item() == pytest.approx(0.5 * ((new - target) ** 2).mean())


def test_a_clipped_critic_moves_less_in_a_phase_than_a_free_one(
    critic: Callable, tmp_path: Path
) -> None:
    rows, returns = made(0, 32)
    start = critic()
    start.fit(
        rows, returns, [np.zeros_like(r) for r in returns], CONFIG, seed=0, value_loss=value_loss
    )
    start.save(tmp_path / "saved")
    old, moves = start.values(rows, CONFIG), {}
    for clip in (0.05, None):
        config = dataclasses.replace(CONFIG, value_clip=clip)
        other = critic("saved")
        other.fit(rows, [4 - r for r in returns], old, config, seed=0, value_loss=value_loss)
        moves[clip] = np.abs(flat(other.values(rows, CONFIG)) - flat(old)).mean()
    assert moves[0.05] < 0.75 * moves[None]


def test_divergence_and_a_broken_directory_are_said_in_a_sentence(
    critic: Callable, tiny: Any, tmp_path: Path
) -> None:
    rows, returns = made(0, 16)
    with pytest.raises(RunFailed, match="critic diverged"):
        config = dataclasses.replace(CONFIG, learning_rate=1e30)
        critic().fit(
            rows,
            returns,
            [np.zeros_like(r) for r in returns],
            config,
            seed=0,
            value_loss=value_loss,
        )
    from marl_llm.training.adapters import copy_version

    copy_version(tiny.adapter_dir, tmp_path / "only-an-adapter")
    with pytest.raises(UserError, match="not a critic's directory"):
        critic("only-an-adapter")
