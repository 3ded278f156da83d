"""The examples in docstrings of pure modules give what is written below them."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = (
    "core.forgiven",
    "core.hub_names",
    "credit.advantages",
    "credit.gae",
    "environment.cache.keys",
    "metrics.scores",
    "metrics.significance",
    "proposals.canonical",
    "proposals.text",
)
"""Pure modules with examples: no files, processes, clocks or torch."""
FINDER = doctest.DocTestFinder(exclude_empty=True)
EXAMPLES = [
    example
    for module in MODULES
    for example in FINDER.find(import_module(f"marl_llm.{module}"))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_gives_what_is_written_below_it(example: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert result.failed == 0, "".join(said)


def test_every_listed_module_has_examples() -> None:
    for module in MODULES:
        assert any(example.name.startswith(f"marl_llm.{module}.") for example in EXAMPLES), module
