"""The examples run as the README says, each in a fresh interpreter."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def output(example: str) -> str:
    command = [sys.executable, "-m", f"marl_llm.interfaces.examples.{example}"]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pettingzoo_example_finds_the_forest():
    lines = output("pettingzoo_loop").splitlines()
    asked = [
        line.split()[0] for line in lines if line.startswith(("data_scientist ", "ml_engineer "))
    ]
    assert asked == ["data_scientist", "ml_engineer"] * 2 + ["data_scientist"] * 2 + ["ml_engineer"]
    assert "    est = RandomForestClassifier()" in lines
    assert any(line.startswith("kept +") for line in lines)


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra ray)"
)
def test_the_rllib_example_samples_both_agents():
    scientist, engineer = output("rllib_loop").splitlines()
    assert scientist.startswith("data_scientist 3 calls, return +0.")
    assert engineer.startswith("ml_engineer    2 calls, return +0.")


@pytest.mark.parametrize("number", [0, 1], ids=["PettingZoo", "RLlib"])
def test_the_code_of_the_readme_plays_an_episode(number):
    if number and importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (extra ray)")
    text = (PROJECT / "marl_llm" / "interfaces" / "README.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert (
        ("ml_engineer" in done.stdout) if number == 0 else done.stdout.count("data_scientist") >= 1
    )
