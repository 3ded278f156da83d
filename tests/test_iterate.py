"""The whole line on the real parts: vLLM samples, the sandbox runs, TRL trains; stopped anywhere, it resumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from marl_llm import stages
from marl_llm.iterate import iterate, render_curve
from marl_llm.open_run import OpenRun, open_run
from marl_llm.publish import publish_run
from marl_llm.roles import ROLES
from marl_llm.run import RunDirectory
from marl_llm.serving import ModelServer
from marl_llm.trajectories import read_rows

RECIPE = """
name: small
iterations: 1
tasks: {per_iteration: 2, first_seed: 20}
environment: {steps: 2, cv_folds: 2, resamples: 100, level: 0.2}
prompts: {instructions: false, names: false, memory_tokens: 120}
rollout: {proposals: 3, implementations: 2, data_scientist_tokens: 48, engineer_tokens: 96}
serving: {max_model_len: 1024}
training: {data_scientist: {learning_rate: 0.002}, ml_engineer: {learning_rate: 0.002}}
evaluation: {tasks: 2}
"""

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def opened(tiny_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenRun]:
    """A run of one small iteration, attached to the shared server, not begun."""
    folder = tmp_path_factory.mktemp("iterate")
    (folder / "recipe.yaml").write_text(RECIPE)
    with open_run(folder / "recipe.yaml", folder / "run", tiny_server.url) as run:
        yield run


@pytest.fixture(scope="module")
def finished(opened: OpenRun) -> OpenRun:
    """The same run, iterated to its end."""
    iterate(opened)
    return opened


def test_both_roles_are_trained_behind_the_integrity_gate(finished):
    metrics = json.loads(finished.run.metrics(0).read_text())
    for role in ROLES:
        trained = metrics["training"][role]
        assert not trained["trained"] or abs(trained["ratio0"] - 1) < 1e-3
        assert finished.run.version(role) == 1
    assert any(metrics["training"][role]["trained"] for role in ROLES)


def test_rows_carry_the_adapter_that_sampled_them_and_sum_up_their_reward(finished):
    rows = read_rows(finished.run.trajectories(0))
    for role in ROLES:
        mine = rows[rows["role"] == role]
        assert set(mine["adapter"]) == {f"small-{role}-v0"}
        assert set(mine["adapter_sha256"]) == {finished.run.sha256(role, 0)}
    parts = [name for name in rows if name.startswith("reward_")]
    assert (rows[parts].sum(axis=1) - rows["reward"]).abs().max() < 1e-6
    assert (rows["completion_ids"].map(len) == rows["logprobs"].map(len)).all()


def test_iterating_a_finished_run_again_does_nothing(finished):
    before = {p: p.stat().st_mtime_ns for p in finished.run.root.rglob("*") if p.is_file() and p.name != "recipe.yaml"}
    iterate(finished)
    after = {p: p.stat().st_mtime_ns for p in finished.run.root.rglob("*") if p.is_file() and p.name != "recipe.yaml"}
    assert before == after


def test_the_learning_curve_has_a_line_for_each_evaluated_version(finished):
    curve = render_curve(finished.run)
    assert "v0000" in curve and "v0001" in curve


def test_publishing_shows_cards_without_a_local_path(finished):
    text = "\n".join(publish_run(finished.run.root, repo_prefix="me/small", dry_run=True))
    assert "me/small-data-scientist" in text and "me/small-ml-engineer" in text
    assert str(finished.run.root) not in text and str(Path.cwd()) not in text


def test_a_trainer_that_fails_loses_nothing_and_is_repeated_alone(finished, tmp_path, monkeypatch):
    root = tmp_path / "run"
    shutil.copytree(finished.run.root, root)
    run = RunDirectory(root)
    run.metrics(0).unlink()
    shutil.rmtree(run.adapter("ml_engineer", 1))
    kept = run.sha256("data_scientist", 1)
    (run.adapter("ml_engineer", 0) / "adapter_model.safetensors").rename(tmp_path / "away")
    with pytest.raises(Exception, match="adapter_model.safetensors"):
        stages.train_stage(finished.recipe, run, 0)
    assert run.collected(0) and run.sha256("data_scientist", 1) == kept
    (tmp_path / "away").rename(run.adapter("ml_engineer", 0) / "adapter_model.safetensors")
    stages.train_stage(finished.recipe, run, 0)
    assert run.metrics(0).is_file() and run.version("ml_engineer") == 1
