"""The generated pages say what the types say."""

from __future__ import annotations

import pytest

from marl_llm.pipeline.reference import filled, pages, recipe_keys
from marl_llm.workspace.recipe import Recipe


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.parent.name)
def test_the_committed_page_is_what_the_types_say(path):
    page = path.read_text(encoding="utf-8")
    assert filled(page, pages()[path]) == page, "run: python -m marl_llm.pipeline.reference"


def test_every_section_and_key_of_a_recipe_is_there():
    text = recipe_keys()
    for name, value in Recipe().model_dump().items():
        if isinstance(value, dict):
            assert f"### `{name}" in text
            assert all(f"`{key}`" in text or f"`{name}.{key}`" in text for key in value)


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="two lines <!-- generated .*: keys -->"):
        filled("# Recipes\n", {"keys": "new"})
