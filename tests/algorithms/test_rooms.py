"""Who may know whom: the engine knows no algorithm by name, and one module knows TRL."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from marl_llm.algorithms.registry import BUILT_IN
from tests.training.support import ROOT

ENGINE = sorted((ROOT / "marl_llm/training").glob("*.py"))
ALGORITHMS = sorted((ROOT / "marl_llm/algorithms").glob("*.py"))


def strings(path: Path) -> Iterator[str]:
    """Strings of the code: docstrings and comments may name whom they serve."""
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_engine_names_no_algorithm() -> None:
    named = re.compile(rf"\b({'|'.join(BUILT_IN)})\b")
    said = {(path.name, text) for path in ENGINE for text in strings(path) if named.search(text)}
    assert said == set()


def test_imports_run_downwards() -> None:
    above = ("marl_llm.algorithms", "marl_llm.pipeline", "marl_llm.workspace", "marl_llm.rollout")
    found = {(path.name, name) for path in ENGINE for name in imports(path)}
    assert {entry for entry in found if entry[1].startswith(above)} == set()
    found = {(path.name, name) for path in ALGORITHMS for name in imports(path)}
    assert {entry for entry in found if entry[1].startswith(above[1:])} == set()


def test_one_module_touches_trl_and_nothing_is_waved_through() -> None:
    classes = re.compile(r"trl\.trainer\.\w+_trainer")
    touching = {
        path.name
        for path in [*ENGINE, *ALGORITHMS]
        if path.name != "bench.py" and any(classes.match(name) for name in imports(path))
    }
    assert touching == {"trl_trainers.py"}  # which trl_adapter.py takes them from
    assert not [path for path in [*ENGINE, *ALGORITHMS] if "type: ignore" in path.read_text()]
