"""The README's additions, made as it says in a copy of the package: nothing else has to change."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "marl_llm" / "proposals" / "README.md").read_text()
FILE, REGISTRATION, TEST, ENTRY, USE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A project of links, in which `proposals` alone is a copy."""
    for name in ("tests", "data"):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / "marl_llm").mkdir()
    for path in (PROJECT / "marl_llm").iterdir():
        if path.name not in ("proposals", "__pycache__"):
            (tmp_path / "marl_llm" / path.name).symlink_to(path)
    shutil.copytree(PROJECT / "marl_llm" / "proposals", tmp_path / "marl_llm" / "proposals")
    return tmp_path


def run(copy: Path, *arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def insert(path: Path, before: str, text: str) -> None:
    """Put a text before the first place where another one stands."""
    old = path.read_text()
    assert before in old
    path.write_text(old.replace(before, text + before, 1))


def test_an_operation_is_one_file_and_its_registration(copy):
    ops = copy / "marl_llm" / "proposals" / "ops"
    (ops / "cube_root.py").write_text(FILE)
    insert(ops / "__init__.py", "from marl_llm.proposals.ops.dates", REGISTRATION)
    insert(ops / "__init__.py", '    )\n}\n"""Added features', "        CUBE_ROOT,\n")
    run(copy, "-c", TEST)
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull, "--rootdir", str(copy))
    run(copy, "-m", "pytest", *options, "tests/proposals/test_operations.py", "-k", "cube_root or draws or words")


@pytest.mark.skipif(importlib.util.find_spec("xgboost") is None, reason="XGBoost is not installed (extra boosting)")
def test_an_estimator_is_one_entry(copy):
    boosting = copy / "marl_llm" / "proposals" / "catalogue" / "boosting.py"
    insert(boosting, '    EstimatorInfo("CatBoostClassifier"', f"    {ENTRY.strip()},\n")
    run(copy, "-c", USE)


def test_each_addition_is_shown_in_under_thirty_lines():
    sections = re.split(r"^## ", README, flags=re.MULTILINE)[1:]
    code = [sum(block.count("\n") for block in re.findall(r"```python\n(.*?)```", s, re.DOTALL)) for s in sections]
    assert len(code) == 2 and max(code) < 30
