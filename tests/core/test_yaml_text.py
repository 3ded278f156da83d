"""YAML within limits, beside what `yaml.safe_load` makes of the same text."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from marl_llm.core.errors import UserError
from marl_llm.core.yaml_text import MAX_BYTES, TooMuchYaml, parse_yaml, read_yaml
from marl_llm.workspace.recipe import load_recipe

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
TOO_MUCH = {
    "aliases": (BOMB, "more than 100000 values"),
    "depth": ("[" * 60 + "]" * 60, "nested more than 50 deep"),
    "great depth": ("[" * 20_000 + "]" * 20_000, "nested more than 50 deep"),
    "mappings": ("".join(f"{' ' * i}a:\n" for i in range(60)), "nested more than 50 deep"),
    "digits": ("seed: " + "9" * 5000, "digits"),
    "itself": ("a: &a [*a]", "part of"),
}


@pytest.mark.parametrize(("text", "why"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_stands_for_too_much_is_refused_at_once(text: str, why: str):
    with pytest.raises(TooMuchYaml, match=why):
        parse_yaml(text)


def test_a_large_file_is_not_read(tmp_path: Path):
    path = tmp_path / "large.yaml"
    path.write_text("# " + "x" * MAX_BYTES)
    with pytest.raises(TooMuchYaml, match="larger than 1 MiB"):
        read_yaml(path)


@pytest.mark.parametrize(
    "text",
    ["", "a: 1", "a: &x {b: [1, 2.5, null, yes]}\nc: *x\nd: {<<: *x, e: 2020-01-01}", "- ç\n- 'ü'"],
)
def test_everything_else_is_as_usual(text: str):
    assert parse_yaml(text) == yaml.safe_load(text)


def test_recipes_of_the_project_are_as_usual():
    for path in Path("recipes").rglob("*.yaml"):
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", [text for text, _ in TOO_MUCH.values()], ids=TOO_MUCH)
def test_a_recipe_of_that_kind_is_one_sentence(tmp_path: Path, text: str):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"recipe\.yaml: not readable as YAML \(it |digits|alias"):
        load_recipe(path)
