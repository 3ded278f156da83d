"""The house: imports run downwards, over few floors; the map shows what is so; files are small."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import marl_llm

PACKAGE = Path(marl_llm.__file__).parent
FLOORS, ROOT_MODULES, LINES = 9, 4, 400


def rooms() -> dict[str, set[str]]:
    """Each room of the package, and the rooms that its modules import from, lazily or not."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        if room.endswith(".py"):
            continue
        imported = found.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.module.startswith("marl_llm.")
            ):
                imported.add(node.module.split(".")[1])
            elif isinstance(node, ast.Import):
                imported |= {
                    name.name.split(".")[1]
                    for name in node.names
                    if name.name.startswith("marl_llm.")
                }
        imported.discard(room)
    return {room: below & found.keys() for room, below in found.items()}


def floors() -> dict[str, int]:
    """The floor of each room: one above the highest that it imports from. RecursionError where
    imports go round.
    """
    below = rooms()

    @cache
    def floor(room: str) -> int:
        return 1 + max((floor(other) for other in below[room]), default=0)

    return {room: floor(room) for room in below}


def test_imports_run_downwards_over_nine_floors_at_most():
    assert max(floors().values()) <= FLOORS


def test_the_map_shows_every_room_on_its_floor():
    picture = (PACKAGE / "README.md").read_text(encoding="utf-8").split("```")[1]
    lines = (line.split("|") for line in picture.strip().splitlines())
    shown = {room: int(number) for number, named, _ in lines for room in named.split()}
    assert shown == floors()


def test_the_wings_meet_in_files_only():
    below = rooms()
    for room in ("environment", "agents", "rollout"):
        assert not below[room] & {"training", "algorithms", "credit"}, room
    for room in ("training", "credit", "algorithms"):
        assert not below[room] & {"environment", "agents", "rollout", "serving"}, room
    assert "serving" not in below["environment"]


def test_the_root_holds_few_modules_and_no_file_is_long():
    modules = [path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) < ROOT_MODULES
    long = {
        path.name: n
        for path in PACKAGE.rglob("*.py")
        if (n := len(path.read_text().splitlines())) > LINES
    }
    assert not long


READ_RECIPES = {"cli", "pipeline", "workspace"}
"""Rooms that know whole recipes; the others take the sections that they use."""


def test_a_room_takes_its_section_and_only_those_that_run_everything_a_whole_recipe():
    importing, reading = set(), set()
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{name.name}" for name in node.names} | {node.module}
            elif isinstance(node, ast.Import):
                names = {name.name for name in node.names}
            else:
                names = set()
            if "marl_llm.workspace.recipe" in names:
                importing.add(room)
            if isinstance(node, ast.Attribute) and node.attr == "recipe":
                reading.add(room)
    assert importing == READ_RECIPES
    assert not reading & {"evaluation", "solve"}


def test_files_of_tests_reach_xdist_as_groups(request: pytest.FixtureRequest) -> None:
    """So that the fixtures of a file are made once: pytest 9.2 does not let xdist 3.8 say so."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("no groups here: make test has them")
    assert request.node.nodeid.endswith("@tests/test_house.py")
