"""A user's own algorithm, as README.md of the room shows it: named in a recipe, trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from marl_llm.algorithms import registry
from marl_llm.algorithms.worker import WorkerSpec, main
from marl_llm.core.errors import UserError
from marl_llm.workspace.recipe import Recipe, dump_recipe, load_recipe, parse
from tests.training.support import completion_logps, worker_spec

README = Path(registry.__file__).with_name("README.md")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe of the README, whose module lies in a directory that Python looks in."""
    package = tmp_path / "own" / "my_package"
    package.mkdir(parents=True)
    (package / "awr.py").write_text(block("python"))
    monkeypatch.syspath_prepend(package.parent)
    (tmp_path / "recipe.yaml").write_text(block("yaml"))
    return load_recipe(tmp_path / "recipe.yaml")


def test_the_example_is_short() -> None:
    assert len(block("python").splitlines()) < 60


def test_its_keys_stand_in_the_recipe_and_come_back_from_it(recipe: Recipe) -> None:
    section = yaml.safe_load(dump_recipe(recipe))["training"]["data_scientist"]
    assert section["algorithm"] == "my_package.awr:AWR" and section["spread"] == 0.5
    assert parse(yaml.safe_load(dump_recipe(recipe)), Recipe, "") == recipe
    assert recipe.credit_of("data_scientist").clip is None
    assert recipe.credit_of("ml_engineer") == recipe.credit
    with pytest.raises(UserError, match=r"'training.ml_engineer.spred'; did you mean 'spread'"):
        own = {"algorithm": "my_package.awr:AWR", "spred": 1}
        parse({"training": {"ml_engineer": own}}, Recipe, "recipe")


def test_it_trains_an_adapter(
    recipe: Recipe, tiny: Any, logged: pd.DataFrame, load: Any, tmp_path: Path
) -> None:
    own = recipe.training.data_scientist.model_copy(update={"epochs": 4, "batch_rows": 12})
    spec = worker_spec(tiny, logged, tmp_path, {})
    WorkerSpec.model_validate(spec | {"config": own}).write(tmp_path / "spec.json")
    assert main([str(tmp_path / "spec.json")]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["trained"] and metrics["algorithm"] == "my_package.awr:AWR"
    assert abs(metrics["ratio0"] - 1) < 1e-3, "behind the integrity gate"
    assert all(0 < step["weight"] <= 20 for step in metrics["history"])
    rewards = logged["completion_ids"].map(lambda ids: float(ids[0] % 7))
    best = logged[rewards == rewards.groupby(logged["group"]).transform("max")]
    before = np.concatenate(completion_logps(load(tiny.adapter_dir), best)).mean()
    after = np.concatenate(completion_logps(load(Path(spec["out_dir"])), best)).mean()
    assert after > before + 0.05


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.at_all:X", "cannot be imported (No module named 'nowhere')"),
        ("json:X", "cannot be imported (module 'json' has no attribute 'X')"),
        ("json:JSONDecoder", "is no subclass of marl_llm.algorithms.Algorithm"),
        ("grpoo", "there is no algorithm 'grpoo'; there are grpo, rloo, ppo, sft, dpo, and your"),
    ],
)
def test_what_is_no_algorithm_is_said_in_a_sentence(name: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        parse({"training": {"ml_engineer": {"algorithm": name}}}, Recipe, "recipe.yaml")
    assert str(caught.value).startswith("recipe.yaml: key 'training.ml_engineer': ")
    assert says in str(caught.value) and "\n" not in str(caught.value)
