"""Old rollouts under other weights, as a person meets it: `marl-llm credit`, and training on it in
a run of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from marl_llm.cli import main
from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ROLES
from marl_llm.credit import CreditConfig, assign_credit, read_credit
from marl_llm.pipeline import stages
from marl_llm.pipeline.credit import credit_stage
from marl_llm.pipeline.fork import fork_run
from marl_llm.rewards import RewardConfig, score_rows
from marl_llm.trajectories import read_rows, write_manifest
from marl_llm.workspace.recipe import Recipe, dump_recipe, load_rewards
from marl_llm.workspace.run import RunDirectory

OLD = Path(__file__).parents[1] / "trajectories" / "version_1" / "reference" / "iteration_0000"
OTHER = RewardConfig(no_gain_penalty=0.5, completion_token_price=0.0)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with iteration 0 done and iteration 1 collected, by the code before rows held facts."""
    made = RunDirectory(tmp_path / "run")
    made.root.mkdir()
    made.prepare(Recipe(name="old"))
    for k in range(2):
        shutil.copytree(OLD / "trajectories", made.trajectories(k))
        write_manifest(made.trajectories(k))
        shutil.copytree(OLD / "credit", made.iteration(k) / "credit")
    for role in ROLES:
        shutil.copytree(made.adapter(role, 0), made.adapters / f"{role}-v1")
    made.metrics(0).write_text(
        json.dumps({"iteration": 0, "collected": {"reward": {}}, "training": {"kept": 1}})
    )
    return made


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.yaml"
    path.write_text("no_gain_penalty: 0.5\ncompletion_token_price: 0\n")
    return path


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["--quiet", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_other_weights_give_the_advantages_that_training_on_them_would_use_and_leave_the_runs_own(
    run: RunDirectory, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run.root)
    code, out, _ = command(capsys, "credit", "--run", run.root, "--rewards", other)
    assert (
        code == 0
        and {path: file for path, file in contents(run.root).items() if path in before} == before
    )
    scored = score_rows(read_rows(run.trajectories(1)), OTHER)
    for role in ROLES:
        table = read_credit(run.iteration(1) / "credit-other" / f"{role}.parquet")
        wanted, _ = assign_credit(scored, role, CreditConfig())
        pd.testing.assert_frame_equal(table, wanted)
    assert load_rewards(run.iteration(0) / "credit-other" / "weights.yaml") == OTHER
    assert "no_gain_penalty 0.02 -> 0.5" in out and "completion_token_price 0.0001 -> 0.0" in out
    assert f"marl-llm train --run {run.root} --rewards {other} --out NEW" in out


def test_the_comparison_says_what_changes_for_each_role(
    run: RunDirectory, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("credit", "--run", run.root, "--rewards", other, "--iteration", 1)
    _, out, _ = command(capsys, *told)
    scientist, engineer = out.split("ML Engineer")
    assert "iteration 0" not in out and "correlation of advantages" in scientist
    assert " no_gain " in scientist and " no_gain " not in engineer and " compliance " in engineer
    found = json.loads(command(capsys, *told, "--json")[1])
    (change,) = (one for one in found["changes"] if one["role"] == DATA_SCIENTIST)
    old, new = (
        score_rows(read_rows(run.trajectories(1), role=DATA_SCIENTIST), one)
        for one in (RewardConfig(), OTHER)
    )
    assert change["rewards"]["reward"] == pytest.approx(
        [old["reward"].mean(), new["reward"].mean()]
    )
    assert change["rewards"]["no_gain"][1] == pytest.approx(25 * change["rewards"]["no_gain"][0])
    tables = [assign_credit(one, DATA_SCIENTIST, CreditConfig())[0] for one in (old, new)]
    kept = tables[0]["kept"] | tables[1]["kept"]
    pair = [table.loc[kept, "advantage"].to_numpy() for table in tables]
    assert (
        change["correlation"] == pytest.approx(np.corrcoef(*pair)[0, 1])
        and 0 < change["correlation"] < 0.99
    )


def test_a_recipe_is_taken_for_its_rewards_section_alone(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = tmp_path / "whole.yaml", tmp_path / "out"
    recipe.write_text("name: another\nrewards: {credit: step}\n")
    told = ("credit", "--run", run.root, "--rewards", recipe, "--out", out)
    assert command(capsys, *told)[0] == 0
    assert load_rewards(out / "iteration_0001" / "weights.yaml") == RewardConfig(credit="step")
    assert not list(run.root.glob("iteration_*/credit-*"))
    assert command(capsys, *told)[0] == 0  # the same again


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no_gain_penalti: 1", "unknown key 'no_gain_penalti'; did you mean 'no_gain_penalty'?"),
        ("gain_weight: -1", "key 'gain_weight'"),
        ("rewards: 3", "rewards must be a mapping"),
        ("- 1", "YAML mapping"),
        ("failure_penalty: 0", "failing pays more"),
        ("extra: {'nowhere:X': {}}", "'nowhere:X' cannot be imported"),
        (None, "there is no such file"),
    ],
)
@pytest.mark.parametrize("what", ["credit", "train"])
def test_bad_weights_are_one_sentence(
    run: RunDirectory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
    text: str | None,
    sentence: str,
) -> None:
    bad = tmp_path / "bad.yaml"
    if text is not None:
        bad.write_text(text)
    code, _, err = command(
        capsys, what, "--run", run.root, "--rewards", bad, "--out", tmp_path / "new"
    )
    assert code == 2 and sentence in err and len(err.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_done_is_one_sentence(
    run: RunDirectory, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: object) -> str:
        code, _, err = command(capsys, *arguments)
        assert code == 2 and len(err.splitlines()) == 1
        return err

    credit = ("credit", "--run", run.root, "--rewards", other)
    assert "iteration 7 is not collected; there are 0 to 1" in refused(*credit, "--iteration", 7)
    assert "not a run directory" in refused(
        "credit", "--run", tmp_path / "nowhere", "--rewards", other
    )
    assert command(capsys, *credit)[0] == 0
    other.write_text("no_gain_penalty: 0.7\n")
    assert "holds the credit of other weights" in refused(*credit)
    assert "holds something else" in refused(*credit, "--out", run.root)
    train = ("train", "--run", run.root)
    assert "--rewards needs --out" in refused(*train, "--rewards", other)
    assert "go with --rewards" in refused(*train, "--out", tmp_path / "new")
    assert "is the run itself" in refused(*train, "--rewards", other, "--out", run.root)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    assert "holds something else" in refused(
        *train, "--rewards", other, "--out", tmp_path / "taken"
    )


def test_a_fork_stands_before_the_training_of_its_iteration_with_all_its_credit_by_the_new_weights(
    run: RunDirectory, tmp_path: Path
) -> None:
    before, new = contents(run.root), RunDirectory(tmp_path / "new")
    new.root.mkdir()
    recipe = fork_run(run, 1, OTHER, new)
    assert contents(run.root) == before
    assert (
        recipe == new.recipe()
        and recipe.rewards == OTHER
        and run.recipe().rewards == RewardConfig()
    )
    assert (new.next_iteration(), new.collected(1), new.version(DATA_SCIENTIST)) == (1, True, 1)
    assert new.sha256(DATA_SCIENTIST, 1) == run.sha256(DATA_SCIENTIST, 1)
    scored = score_rows(read_rows(new.trajectories(0)), OTHER)
    metrics = json.loads(new.metrics(0).read_text())
    assert metrics["training"] == {"kept": 1} and metrics["collected"]["rows"] == len(scored)
    for role in ROLES:
        wanted, statistics = assign_credit(scored, role, CreditConfig())
        pd.testing.assert_frame_equal(read_credit(new.credit(0, role)), wanted)
        assert metrics["credit"][role] == statistics
    shutil.rmtree(new.iteration(1))  # as an interruption leaves it
    assert fork_run(run, 1, OTHER, new) == recipe and new.collected(1)
    with pytest.raises(UserError, match="holds something else"):
        fork_run(run, 0, OTHER, new)


def test_training_with_other_rewards_trains_on_the_fork(
    run: RunDirectory,
    other: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specs = []

    def trained(recipe: Recipe, here: RunDirectory, k: int, trainee: str, running: object) -> None:
        specs.append(stages._spec(recipe, here, k, trainee))
        shutil.copytree(here.adapter(trainee, k), here.adapter(trainee, k + 1))
        stages.training_metrics(here, k, trainee).parent.mkdir(parents=True, exist_ok=True)
        stages.training_metrics(here, k, trainee).write_text("{}")

    monkeypatch.setattr(stages, "train_in_process", trained)
    new = RunDirectory(tmp_path / "new")
    told = ("train", "--run", run.root, "--rewards", other, "--out", new.root)
    code, out, _ = command(capsys, *told)
    assert code == 0 and "iteration 1: hold-out gain" in out and "is a run of its own" in out
    assert [spec.credit for spec in specs] == [[new.credit(1, role).resolve()] for role in ROLES]
    assert read_credit(new.credit(1, DATA_SCIENTIST))["reward_no_gain"].min() == -0.5
    assert new.version(DATA_SCIENTIST) == 2 and run.version(DATA_SCIENTIST) == 1
    assert command(capsys, *told)[0] == 0 and len(specs) == 2  # it is done


def test_credit_of_older_iterations_without_rewards_is_made_again_where_they_are_trained_on(
    run: RunDirectory,
) -> None:
    content = yaml.safe_load(dump_recipe(run.recipe()))
    again = {"max_age": 1, "old_logps": "recompute", "tis_cap": 2.0}
    for role in ROLES:
        content["training"][role] |= again
    credit_stage(run.recipe(), run, 1)
    assert "reward" not in read_credit(run.credit(0, DATA_SCIENTIST)) and "reward" in read_credit(
        run.credit(1, DATA_SCIENTIST)
    )
    credit_stage(Recipe.model_validate(content), run, 1)
    assert "reward_own" in read_credit(run.credit(0, DATA_SCIENTIST))


def test_credit_of_an_iteration_that_lost_a_part_is_made_anew_or_refused(
    run: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = run.recipe()
    aged = recipe.training.data_scientist.model_copy(update={"max_age": 1})
    training = recipe.training.model_copy(update={DATA_SCIENTIST: aged})
    recipe = recipe.model_copy(update={"training": training})
    credit_stage(recipe, run, 1)
    credited = read_credit(run.credit(0, DATA_SCIENTIST))
    part = next(run.trajectories(0).glob("part-*"))
    (gone,) = set(read_rows(run.trajectories(0))["episode"]) & {part.stem.removeprefix("part-")}
    part.unlink()
    credit_stage(recipe, run, 1)
    assert "iteration 0 has lost 1 episodes" in caplog.text
    left = read_credit(run.credit(0, DATA_SCIENTIST))
    assert len(left) < len(credited) and gone not in set(left["episode"])
    next(run.trajectories(1).glob("part-*")).unlink()
    with pytest.raises(UserError, match="lost 1 of its episodes"):
        credit_stage(recipe, run, 1)
