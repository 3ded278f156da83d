"""What people get wrong: one clear sentence each, before any process is started and any file is
left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from marl_llm.core.errors import UserError
from marl_llm.rollout.budget import Budget
from marl_llm.rollout.playing import Limits
from marl_llm.solve import solve, solve_task
from marl_llm.tasks import TaskFile
from marl_llm.workspace import teams
from marl_llm.workspace.recipe import Recipe, dump_recipe
from tests.solve.conftest import CLIENTS, TARGET


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch):
    def started(*arguments: object) -> None:
        raise AssertionError("a sandbox was started for bad input")

    monkeypatch.setattr(solve, "open_sandbox", started)


def attempt(directory: Path, **changes: Any) -> None:
    keys = ("csv", "target", "features", "metrics", "seed")
    entry: dict[str, Any] = {"csv": CLIENTS, "target": TARGET} | {
        k: v for k, v in changes.items() if k in keys
    }
    options: dict[str, Any] = {"out": directory / "out"} | {
        k: v for k, v in changes.items() if k not in (*keys, "team")
    }
    team = teams.choose_team(changes.get("team", "scripted"))
    solve_task(TaskFile(**entry), team=team, **options)


def csv_file(directory: Path, text: str) -> Path:
    path = directory / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"csv": Path("gone.csv")}, r"^There is no file gone\.csv: check the path\.$"),
        (
            {"target": "Cancelo"},
            r"^The target 'Cancelo' is not a column: did you mean 'Cancelou'\?$",
        ),
        (
            {"features": ["Idade", "Plana"]},
            r"^The feature 'Plana' is not a column: did you mean 'Plano'\?$",
        ),
        ({"metrics": {"r2": 1.0}}, r"^Metric 'r2' does not fit a binary target"),
        ({"metrics": {"f1_marco": 1.0}}, r"^Unknown metric 'f1_marco': did you mean 'f1_macro'\?$"),
        ({"team": "script"}, r"^There is no team 'script': did you mean 'scripted'\?$"),
        (
            {"team": "tests/gone"},  # a folder that is here: a directory was meant
            r"^There is no team 'tests/gone': choose trained, untrained, scripted, the "
            r"directory of a run, "
            r"or user/name@revision of a team on the Hub\.$",
        ),
        ({"limits": Limits(Budget(9), 0)}, r"^0 steps leave nothing to do: ask for at least 1\.$"),
        (
            {"limits": Limits(Budget(9), 1, 0)},
            r"^A patience of 0 leaves nothing to do: ask for at least 1\.$",
        ),
        ({"seed": -1}, r"^The seed is -1: give a whole number from 0 to 2147483647\.$"),
    ],
)
def test_one_sentence_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, changes: dict[str, Any], sentence: str
):
    with pytest.raises(UserError, match=sentence) as caught:
        attempt(tmp_path, **changes)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_an_empty_csv(tmp_path: Path):
    with pytest.raises(UserError, match="is empty: give a CSV with a header line"):
        attempt(tmp_path, csv=csv_file(tmp_path, ""))


def test_a_target_with_one_class(tmp_path: Path):
    path = csv_file(tmp_path, "a,y\n" + "".join(f"{i},yes\n" for i in range(60)))
    with pytest.raises(
        UserError, match="has the same value 'yes' in every row: there is nothing to predict"
    ):
        attempt(tmp_path, csv=path, target="y")


def test_a_directory_that_is_no_run(tmp_path: Path):
    with pytest.raises(UserError, match=r"not a run directory \(recipe.yaml is missing\)"):
        attempt(tmp_path, team=str(tmp_path))


def test_a_run_without_adapters(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text(dump_recipe(Recipe.model_validate({})))
    with pytest.raises(UserError, match="no adapters here"):
        attempt(tmp_path, team=str(tmp_path))


def test_a_checkout_without_the_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(teams, "EMBEDDED", tmp_path)
    with pytest.raises(UserError, match="The embedded model is not at .*make tiny-model"):
        attempt(tmp_path, team="untrained")


def test_a_server_that_does_not_answer(tmp_path: Path):
    with pytest.raises(UserError, match="No model server answers at http://127.0.0.1:9: start one"):
        attempt(tmp_path, team="untrained", servers=("http://127.0.0.1:9",))


def test_a_directory_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/out cannot be a directory .*: name another"):
        attempt(tmp_path, out=tmp_path / "file" / "out")


def test_a_directory_with_files_of_somebody_else(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("do not lose")
    with pytest.raises(
        UserError, match="holds other files than results for .*name a new or empty directory"
    ):
        attempt(tmp_path, out=tmp_path)
