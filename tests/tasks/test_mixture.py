from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.pipeline.stages import training_plans
from marl_llm.tasks.mixture import TaskSection, planned_tasks
from marl_llm.workspace.open_run import open_run
from marl_llm.workspace.recipe import Recipe, require_disjoint


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small CSVs."""
    directory, rng = tmp_path_factory.mktemp("suite"), np.random.default_rng(0)
    for name in "abcde":
        frame = pd.DataFrame(
            {
                "x": rng.normal(size=160),
                "z": rng.normal(size=160),
                "y": rng.choice(["no", "yes"], 160),
            }
        )
        frame.to_csv(directory / f"{name}.csv", index=False)
    entries = [{"csv": f"{name}.csv", "target": "y"} for name in "abcde"]
    (directory / "suite.yaml").write_text(yaml.safe_dump(entries))
    return directory


def mixed(suite: Path, share: float = 0.5, **keys: int) -> TaskSection:
    return TaskSection.model_validate(
        {"suite": str(suite), "suite_share": share, "per_iteration": 8, **keys}
    )


def tables(section: TaskSection, episodes: range, seed: int = 0) -> list[str]:
    """The tables of the suite that these episodes play, in order."""
    names = [task.name for task in planned_tasks(section, episodes, seed)]
    return [name.split("-", 1)[1] for name in names if name.startswith("e")]


def test_half_of_the_episodes_are_of_the_suite_and_the_seeds_of_the_others_leave_no_gap(suite):
    recipe = Recipe.model_validate(
        {"iterations": 3, "tasks": mixed(suite, first_seed=70).model_dump()}
    )
    names = [plan.name for k in range(3) for plan in training_plans(recipe, k)]
    assert len(set(names)) == len(names) == 24
    assert [name for name in names if name.startswith("p")] == [
        f"p{seed}" for seed in range(70, 82)
    ]
    assert recipe.seeds()["tasks.first_seed"] == range(70, 82)
    for k in range(3):
        assert Counter(name[0] for name in names[8 * k : 8 * k + 8]) == {"e": 4, "p": 4}


@given(st.integers(1, 100).map(lambda percent: percent / 100), st.integers(0, 500))
def test_after_any_number_of_episodes_the_share_is_kept_to_within_one(share, episodes):
    section = TaskSection(suite="anywhere", suite_share=share)
    assert abs(section.of_suite(episodes) - share * episodes) <= 1
    assert section.of_suite(episodes) + section.procedural(episodes) == episodes
    assert section.of_suite(episodes + 1) - section.of_suite(episodes) in (0, 1)


def test_every_table_is_played_once_before_one_is_played_again(suite):
    drawn = tables(mixed(suite), range(40))
    rounds = [drawn[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(played) == list("abcde") for played in rounds)
    assert len({tuple(played) for played in rounds}) > 1


def test_a_table_comes_back_with_another_split(suite):
    planned = [
        task for task in planned_tasks(mixed(suite, 1.0), range(15), 0) if task.name.endswith("-a")
    ]
    tasks = [task.load() for task in planned]
    assert (
        len(tasks) == len({task.seed for task in tasks}) == len({task.key for task in tasks}) == 3
    )


def test_what_is_played_follows_from_the_recipes_seed(suite):
    section, episodes = mixed(suite), range(30)
    assert tables(section, episodes) == tables(section, range(15)) + tables(section, range(15, 30))
    assert tables(section, episodes) != tables(section, episodes, seed=1)
    first, other = (planned_tasks(section, range(2), seed) for seed in (0, 0))
    assert [task.load().key for task in first] == [task.load().key for task in other]


def test_without_a_share_a_suite_is_all_that_is_played_and_without_a_suite_nothing_of_one(suite):
    assert len(tables(mixed(suite, 1.0), range(9))) == 9
    assert [
        task.name for task in planned_tasks(TaskSection(suite_share=0.3, first_seed=5), range(3), 0)
    ] == [
        "p5",
        "p6",
        "p7",
    ]


def test_seeds_that_only_the_procedural_share_would_not_reach_are_free_for_validation(suite):
    content = {"iterations": 4, "tasks": {**mixed(suite).model_dump(), "first_seed": 100}}
    content |= {"promotion": {"tasks": 8, "first_seed": 116}}
    require_disjoint(Recipe.model_validate(content).seeds())
    content["promotion"]["first_seed"] = 115
    with pytest.raises(ValueError, match="share tasks"):
        Recipe.model_validate(content)


def test_a_suite_that_is_not_there_is_refused_before_a_run_begins_and_says_how_to_build_one(
    tmp_path,
):
    (tmp_path / "recipe.yaml").write_text(
        f"tasks: {{suite: {tmp_path / 'none'}, suite_share: 0.5}}\n"
    )
    with pytest.raises(UserError) as caught, open_run(tmp_path / "recipe.yaml", tmp_path / "run"):
        pass
    message = str(caught.value)
    assert (
        "There is no directory" in message
        and f"marl-llm suite build --out {tmp_path / 'none'}" in message
    )
    assert "\n" not in message and not (tmp_path / "run" / "recipe.yaml").exists()


def test_every_table_that_cannot_be_read_is_named_before_a_run_begins(suite, tmp_path):
    broken = [next(suite.glob(f"{name}*.csv")) for name in "bd"]
    for path in broken:
        path.write_bytes(b"\x00\xff" * 40)
    (tmp_path / "recipe.yaml").write_text(f"tasks: {{suite: {suite}, per_iteration: 8}}\n")
    with pytest.raises(UserError) as caught, open_run(tmp_path / "recipe.yaml", tmp_path / "run"):
        pass
    message = str(caught.value)
    assert "2 of 5 tables" in message and all(str(path) in message for path in broken)
    assert not (tmp_path / "run").exists()
