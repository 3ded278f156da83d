"""The whole line on the real parts: vLLM samples, the sandbox runs, TRL trains; stopped anywhere,
it resumes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from marl_llm.algorithms import worker
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES, TEAM
from marl_llm.credit import read_credit
from marl_llm.pipeline import stages
from marl_llm.pipeline.experiment.config import Experiment
from marl_llm.pipeline.experiment.layout import PROCEDURAL, ExperimentDirectory, Point
from marl_llm.pipeline.experiment.points import evaluate_point, team_of
from marl_llm.pipeline.iterate import iterate, render_curve
from marl_llm.pipeline.publish import publish_run
from marl_llm.rewards import reward_columns
from marl_llm.serving import ModelServer
from marl_llm.storage import Objects, RunAddress
from marl_llm.trajectories import read_rows
from marl_llm.workspace.open_run import OpenRun, open_run
from marl_llm.workspace.recipe import Recipe, dump_recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.shared_run import SharedRun
from tests.lent_sandbox import lent_sandboxes
from tests.warm_python import warm_trainers

RECIPE = """
name: small
iterations: 1
tasks: {per_iteration: 2, first_seed: 20}
environment: {steps: 1, cv_folds: 2, resamples: 100, level: 0.2, cache: {cache}}
prompts: {instructions: false, names: false, memory_tokens: 120}
rollout: {proposals: 3, implementations: 2, data_scientist_tokens: 48, engineer_tokens: 96}
serving: {max_model_len: 1024}
training: {data_scientist: {learning_rate: 0.002}, ml_engineer: {learning_rate: 0.002}}
promotion: {tasks: 2, slack: 0.5}
evaluation: {tasks: 2}
"""

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module", autouse=True)
def quick_starts() -> Iterator[None]:
    """Of trainers and sandboxes: the imports of one process, and the session's sandbox."""
    with warm_trainers(), lent_sandboxes():
        yield


@pytest.fixture(scope="module")
def opened(tiny_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenRun]:
    """A run of one small iteration, attached to the shared server, not begun."""
    folder = tmp_path_factory.mktemp("iterate")
    recipe = RECIPE.replace("{cache}", str(folder / "evaluations.sqlite"))
    (folder / "recipe.yaml").write_text(recipe)
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
        fingerprint = finished.run.sha256(role, 0)
        assert set(mine["adapter"]) == {f"small-{role}-v0-{fingerprint[:8]}"}
        assert set(mine["adapter_sha256"]) == {fingerprint}
    for role in ROLES:
        credit = read_credit(finished.run.credit(0, role))
        parts = [name for name in reward_columns(credit) if name not in ("reward", "reward_own")]
        assert (credit[parts].sum(axis=1) - credit["reward"]).abs().max() < 1e-6
        assert len(credit) == (rows["role"] == role).sum()
    assert (rows["completion_ids"].map(len) == rows["logprobs"].map(len)).all()


def test_iterating_a_finished_run_again_does_nothing(finished):
    before = {
        p: p.stat().st_mtime_ns
        for p in finished.run.root.rglob("*")
        if p.is_file() and p.name != "recipe.yaml"
    }
    iterate(finished)
    after = {
        p: p.stat().st_mtime_ns
        for p in finished.run.root.rglob("*")
        if p.is_file() and p.name != "recipe.yaml"
    }
    assert before == after


def test_the_learning_curve_has_a_line_for_each_evaluated_version(finished):
    curve = render_curve(finished.run)
    assert "v0000" in curve and "v0001" in curve


def test_a_directory_at_which_a_process_is_at_work_is_not_opened_by_a_second_one(tmp_path):
    run = RunDirectory(tmp_path / "run")
    with run.held(), pytest.raises(UserError, match="another process is at work there"), run.held():
        raise AssertionError("held twice")
    with run.held():
        assert run.root.is_dir()


def test_publishing_shows_cards_without_a_local_path(finished):
    text = "\n".join(publish_run(finished.run.root, repo_prefix="me/small", dry_run=True))
    assert "me/small-data-scientist" in text and "me/small-ml-engineer" in text
    assert str(finished.run.root) not in text and str(Path.cwd()) not in text


def test_a_damaged_part_is_deleted_as_advised_and_its_episode_alone_collected_again(finished):
    run, recipe, parts = finished.run, finished.recipe, finished.run.trajectories(0)
    metrics = run.metrics(0).read_bytes()
    run.metrics(0).unlink()
    damaged, other = sorted(parts.glob("part-*.parquet"))
    before, kept = read_rows(parts), other.stat().st_mtime_ns
    damaged.write_bytes(damaged.read_bytes()[:500])
    with pytest.raises(UserError, match="delete it and collect again"):
        stages.train_stage(recipe, run, 0)
    damaged.unlink()
    with pytest.raises(UserError, match=r"lost 1 of its episodes: .*rollout"):
        stages.train_stage(recipe, run, 0)
    assert not run.collected(0)
    stages.collect_stage(finished, 0)
    assert run.collected(0) and other.stat().st_mtime_ns == kept
    same = ["episode", "role", "messages", "reply", "verdict", "skill_gain", "seed"]
    pd.testing.assert_frame_equal(read_rows(parts)[same], before[same])
    run.metrics(0).write_bytes(metrics)


def test_a_trainer_that_fails_loses_nothing_and_is_repeated_alone(finished, tmp_path, monkeypatch):
    root = tmp_path / "run"
    shutil.copytree(finished.run.root, root)
    run = RunDirectory(root)
    run.metrics(0).unlink()
    shutil.rmtree(run.adapter("ml_engineer", 1))
    kept = run.sha256("data_scientist", 1)
    (run.adapter("ml_engineer", 0) / "adapter_model.safetensors").rename(tmp_path / "away")
    recipe = changed(finished.recipe)
    with pytest.raises(Exception, match="adapter_model.safetensors"):
        stages.train_stage(recipe, run, 0)
    assert run.collected(0) and run.sha256("data_scientist", 1) == kept
    (tmp_path / "away").rename(run.adapter("ml_engineer", 0) / "adapter_model.safetensors")
    stages.train_stage(recipe, run, 0)
    assert run.metrics(0).is_file() and run.version("ml_engineer") == 1


@pytest.fixture
def copied(finished, tmp_path) -> RunDirectory:
    """The finished run, as it was before its training."""
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished.run.root, run.root)
    shutil.rmtree(run.iteration(0) / "training")
    for role in ROLES:
        shutil.rmtree(run.adapter(role, 1))
    run.metrics(0).unlink()
    return run


def changed(recipe: Recipe, **sections: Any) -> Recipe:
    """The recipe without promotion, and with these keys."""
    content = recipe.model_dump(mode="json") | {"promotion": {"tasks": 0}}
    for section, values in sections.items():
        content[section] = content[section] | values
    return Recipe.model_validate(content)


def test_an_adapter_that_is_not_worse_is_promoted_and_what_was_played_is_kept(finished):
    metrics = json.loads(finished.run.metrics(0).read_text())
    decision = metrics["promotion"]
    trained = [role for role in ROLES if metrics["training"][role]["trained"]]
    first = decision["tried"][0]
    assert (first["candidates"], first["tasks"]) == (trained, 2)
    assert all(decision["promoted"].values()) or first["worse"]
    for role in ROLES:
        kept = "" if decision["promoted"][role] else "_before"
        assert metrics["training"][role]["adapter_sha256" + kept] == finished.run.sha256(role, 1)


def test_a_run_on_shared_storage_is_trained_on_another_machine_and_is_the_same_on_both(
    finished, copied, tmp_path
):
    address = RunAddress(f"file://{tmp_path}/shared")
    here, there = (SharedRun(root, address, Objects(address)) for root in (copied.root, tmp_path))
    here.sync()
    there.sync()
    recipe = changed(finished.recipe, training={"schedule": "alternate"})
    stages.train_stage(recipe, there, 0)
    here.sync()
    metrics = json.loads(here.metrics(0).read_text())
    for role in ROLES:
        assert metrics["training"][role]["adapter_sha256"] == here.sha256(role, 1)
        assert here.sha256(role, 1) == there.sha256(role, 1)
    assert read_credit(here.credit(0, ROLES[0])).equals(read_credit(there.credit(0, ROLES[0])))
    assert here.next_iteration() == there.next_iteration() == 1
    assert render_curve(there) == render_curve(here) and "v0001" in render_curve(there)


def test_a_role_whose_turn_it_is_not_keeps_its_adapter(finished, copied):
    stages.train_stage(changed(finished.recipe, training={"schedule": "alternate"}), copied, 0)
    metrics = json.loads(copied.metrics(0).read_text())
    assert metrics["schedule"] == [ROLES[0]] and metrics["training"][ROLES[1]]["frozen"]
    assert copied.sha256(ROLES[1], 1) == copied.sha256(ROLES[1], 0)
    assert metrics["training"][ROLES[0]]["rows"] > 0


def test_a_shared_adapter_learns_from_the_rows_of_both_roles(finished, copied):
    copied.adapter(ROLES[1], 0).rename(copied.root / "away")
    copied.adapter(ROLES[0], 0).rename(copied.adapters / f"{TEAM}-v0")
    recipe = changed(finished.recipe, model={"adapters": "shared"})
    stages.train_stage(recipe, copied, 0)
    metrics = json.loads(copied.metrics(0).read_text())
    assert (
        list(metrics["training"]) == [TEAM]
        and copied.version(ROLES[0]) == copied.version(ROLES[1]) == 1
    )
    kept = [metrics["credit"][role]["kept_rows"] for role in ROLES]
    assert (
        metrics["training"][TEAM]["rows"] + metrics["training"][TEAM]["dropped"]["empty"]
        == sum(kept)
        > 0
    )


def test_rows_of_earlier_versions_are_trained_on_up_to_max_age(
    finished, copied, tmp_path, monkeypatch
):
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        stages, "run_trainer", lambda path, *_: told.append(json.loads(path.read_text())) or 0.0
    )
    recipe = changed(finished.recipe, training={ROLES[0]: {"max_age": 2, "old_logps": "recompute"}})
    for k in (0, 1, 5):
        stages.train_in_process(recipe, copied, k, ROLES[0])
    stages.train_in_process(recipe, copied, 5, ROLES[1])
    iterations = [[Path(rows).parent.name[-1] for rows in spec["rows"]] for spec in told]
    assert iterations == [["0"], ["0", "1"], ["3", "4", "5"], ["5"]]
    assert [Path(credit) for credit in told[1]["credit"]] == [
        copied.credit(i, ROLES[0]).resolve() for i in (0, 1)
    ]


def test_an_adapter_whose_metrics_were_never_written_is_trained_again(
    finished, copied, monkeypatch
):
    def trained(recipe: Recipe, run: RunDirectory, k: int, trainee: str, *_: Any) -> None:
        shutil.copytree(
            run.adapter(trainee, k), run.adapter(trainee, k + 1)
        )  # fails if the half-made one is there
        stages.training_metrics(run, k, trainee).write_text('{"trained": true}')

    shutil.copytree(copied.adapter(ROLES[1], 0), copied.adapter(ROLES[0], 1))
    monkeypatch.setattr(stages, "train_in_process", trained)
    (copied.iteration(0) / "training").mkdir()
    stages.train_stage(changed(finished.recipe), copied, 0)
    assert copied.sha256(ROLES[0], 1) == copied.sha256(ROLES[0], 0) != copied.sha256(ROLES[1], 0)


@pytest.mark.parametrize(
    "algorithms", [("ppo", "sft"), ("sft", "ppo"), ("rloo", "dpo"), ("dpo", "rloo")]
)
def test_each_role_learns_by_its_own_algorithm_from_what_was_collected(
    finished, copied, monkeypatch, algorithms
):
    """Proposals of one state always differ; the embedded Engineer's answers to one suggestion may
    all be the same.
    """
    monkeypatch.setattr(
        stages, "run_trainer", lambda path, *_: float(worker.main([str(path)]))
    )  # in this process
    few = {"ppo": {"critic_epochs": 1}}
    chosen = {
        role: {"algorithm": name} | few.get(name, {})
        for role, name in zip(ROLES, algorithms, strict=True)
    }
    stages.train_stage(changed(finished.recipe, training={"at_once": 1} | chosen), copied, 0)
    metrics = json.loads(copied.metrics(0).read_text())["training"]
    assert metrics[ROLES[0]]["trained"]
    for role, algorithm in zip(ROLES, algorithms, strict=True):
        trained = metrics[role]
        assert trained["algorithm"] == algorithm
        assert (
            trained["trained"]
            == (trained["rows"] > 0)
            == (copied.sha256(role, 1) != copied.sha256(role, 0))
        )


def test_what_another_run_collected_is_imitated_too(finished, copied, monkeypatch):
    """The other run has the same name and the same episodes: its turns are turns of their own."""
    monkeypatch.setattr(
        stages, "run_trainer", lambda path, *_: float(worker.main([str(path)]))
    )  # in this process
    rows = []
    for others in ([], [str(finished.run.root)]):
        chosen = {"algorithm": "sft", "selection": "all", "imitate": others}
        recipe = changed(finished.recipe, training={"schedule": "alternate", ROLES[0]: chosen})
        stages.train_stage(recipe, copied, 0)
        learned = json.loads(stages.training_metrics(copied, 0, ROLES[0]).read_text())
        rows.append((learned["rows"], learned["dropped"]["empty"]))
        shutil.rmtree(copied.adapter(ROLES[0], 1))
        copied.metrics(0).unlink()
    assert rows[1] == (2 * rows[0][0], 2 * rows[0][1]) and rows[0][0] > 0


def test_a_run_that_cannot_be_imitated_is_refused_before_anything_is_played(
    finished, copied, tmp_path
):
    def opened_with(**sections: Any) -> None:
        chosen = {"algorithm": "sft", "imitate": [str(copied.root)]}
        recipe = changed(finished.recipe, training={ROLES[1]: chosen}, **sections)
        (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
        with open_run(tmp_path / "recipe.yaml", tmp_path / "new", "http://127.0.0.1:9"):
            raise AssertionError("opened")

    with pytest.raises(
        UserError, match=r"training.ml_engineer.imitate: .* has no finished iteration"
    ):
        opened_with()
    with pytest.raises(UserError, match="was played by data/models/tiny, not by other/model"):
        opened_with(model={"path": "other/model"})
    assert not (tmp_path / "new").exists()


def test_adapters_of_the_other_role_play_a_point_of_an_experiment(finished, tmp_path):
    arms = {"per_role": {"at": [1]}, "swapped": {"of": "per_role", "at": [1]}}
    base = finished.recipe.model_dump(mode="json")
    experiment = Experiment.model_validate({"base": base, "evaluation": {"tasks": 2}, "arms": arms})
    directory = ExperimentDirectory(tmp_path)
    for arm, owners in (("per_role", ROLES), ("swapped", ROLES[::-1])):
        point = Point(PROCEDURAL, arm, 0, 1)
        evaluate_point(finished, experiment, directory, point, None)
        assert [
            result["arm"] for result in json.loads(directory.report(point).read_text())["results"]
        ] == ["baseline", "baseline", team_of(experiment, point), team_of(experiment, point)]
        rows = pd.concat(
            [pd.read_parquet(path) for path in directory.folder(point).rglob("part-*.parquet")]
        )
        played = {role: set(rows.loc[rows["role"] == role, "adapter"]) for role in ROLES}
        adapters = {
            role: {f"small-{owner}-v1-{finished.run.sha256(owner, 1)[:8]}"}
            for role, owner in zip(ROLES, owners, strict=True)
        }
        assert played[ROLES[0]] == adapters[ROLES[0]]
        assert (
            played[ROLES[1]] <= adapters[ROLES[1]]
        )  # swapped, the other may suggest nothing that can be done
    assert directory.points() == [
        Point(PROCEDURAL, "per_role", 0, 1),
        Point(PROCEDURAL, "swapped", 0, 1),
    ]
