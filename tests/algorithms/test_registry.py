"""Sections of a recipe: each algorithm has its own keys, and older files are still read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from marl_llm.algorithms import DPO, GRPO, PPO, RLOO, SFT
from marl_llm.algorithms.base import Algorithm
from marl_llm.algorithms.registry import BUILT_IN, read_algorithm, switched
from marl_llm.core.errors import UserError
from marl_llm.workspace.recipe import Recipe, parse
from tests.training.support import ROOT

BEFORE = yaml.safe_load((ROOT / "data/models/team/recipe.yaml").read_text())["training"]
"""A recipe as it was dumped when all algorithms had one class of keys."""


def read(**section: Any) -> Algorithm:
    found = read_algorithm(section)
    assert isinstance(found, Algorithm)
    return found


def test_the_name_chooses_the_class_and_each_has_its_name() -> None:
    classes = {"grpo": GRPO, "rloo": RLOO, "ppo": PPO, "sft": SFT, "dpo": DPO}
    assert classes == BUILT_IN
    for name, algorithm in classes.items():
        found = read(algorithm=name)
        assert type(found) is algorithm and found.algorithm == name
        assert found == read(**found.model_dump(mode="json"))
    assert type(read()) is GRPO


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (
            {"imitate": ["runs/a"]},
            "grpo has no key 'imitate', which is of sft; grpo has batch_rows",
        ),
        ({"algorithm": "sft", "beta": 0.1}, "sft has no key 'beta', which is of grpo, rloo, ppo"),
        ({"algorithm": "dpo", "kl_limit": 1}, "dpo has no key 'kl_limit'"),
        ({"algorithm": "rloo", "gamma": 0.9}, "rloo has no key 'gamma', which is of ppo"),
    ],
)
def test_a_key_of_another_algorithm_is_refused_in_one_sentence(
    section: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError) as caught:
        parse({"training": {"data_scientist": section}}, Recipe, "r.yaml")
    message = str(caught.value)
    assert message.startswith(f"r.yaml: key 'training.data_scientist': {says}")
    assert "\n" not in message and message.count(";") == 1


def test_a_key_of_another_algorithm_at_its_default_says_nothing() -> None:
    assert read(algorithm="sft", beta=0.0, gamma=1.0, temperature=1.0) == SFT()


def test_a_file_from_before_has_all_keys_whatever_they_said() -> None:
    section = BEFORE["data_scientist"] | {"critic_epochs": 9, "dpo_beta": 0.7}
    found = read(**section)
    assert type(found) is GRPO
    kept = found.model_dump(mode="json")
    assert kept == {name: section[name] for name in kept if name in section} | {
        name: value for name, value in kept.items() if name not in section
    }
    assert set(section) - set(kept) > {"critic_epochs", "dpo_beta", "selection", "gamma"}
    assert type(read(**section | {"algorithm": "sft", "epsilon_high": 0.5})) is SFT


def test_old_rows_need_weights_where_the_loss_reads_the_logged_ratio() -> None:
    assert [type(read(algorithm=name, max_age=1)) for name in ("sft", "dpo")] == [SFT, DPO]
    for name in ("grpo", "rloo", "ppo"):
        with pytest.raises(ValueError, match="need truncated importance weights"):
            read(algorithm=name, max_age=1)


def test_what_is_left_of_a_section_that_is_overridden_by_another_algorithm() -> None:
    section = {"algorithm": "grpo", "epochs": 3, "epsilon_high": 0.5, "learning_rate": 0.1}
    assert switched(section, "sft") == {"epochs": 3, "learning_rate": 0.1}
    assert switched(section, "ppo") == {k: v for k, v in section.items() if k != "algorithm"}
