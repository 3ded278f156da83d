"""The README's additions, made as it says in a copy of the room: nothing else has to change."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest

from tests.package_copy import PROJECT, insert, python_blocks, run_python, with_copied_room

README = (PROJECT / "marl_llm" / "proposals" / "README.md").read_text()
FILE, REGISTRATION, TEST, ENTRY, USE = python_blocks(README)


def test_an_operation_is_one_file_and_its_registration(tmp_path: Path):
    ops = with_copied_room(tmp_path, "proposals") / "ops"
    (ops / "cube_root.py").write_text(FILE)
    insert(ops / "__init__.py", "from marl_llm.proposals.ops.dates", REGISTRATION)
    insert(ops / "__init__.py", '    )\n}\n"""Added features', "        CUBE_ROOT,\n")
    run_python(tmp_path, "-c", TEST)
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
    )
    tests = ("tests/proposals/test_operations.py", "-k", "cube_root or draws or words")
    assert "6 passed" in run_python(tmp_path, "-m", "pytest", *options, *tests)


@pytest.mark.skipif(
    importlib.util.find_spec("xgboost") is None, reason="XGBoost is not installed (extra boosting)"
)
def test_an_estimator_is_one_entry(tmp_path: Path):
    boosting = with_copied_room(tmp_path, "proposals") / "catalogue" / "boosting.py"
    insert(boosting, '    EstimatorInfo("CatBoostClassifier"', f"    {ENTRY.strip()},\n")
    run_python(tmp_path, "-c", USE)


def test_each_addition_is_shown_in_under_thirty_lines():
    sections = re.split(r"^## ", README, flags=re.MULTILINE)[1:]
    lines = [sum(block.count("\n") for block in python_blocks(section)) for section in sections]
    assert len(lines) == 2 and max(lines) < 30
