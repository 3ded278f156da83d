"""The page on adding an arm: its example is an arm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import marl_llm.evaluation
from marl_llm.core.kind import Kind
from marl_llm.evaluation.fixed import FIXED, fixed_spec, missing_package
from marl_llm.proposals import compile, generate_code

PAGE = Path(marl_llm.evaluation.__file__).with_name("README.md")


def test_the_example_is_an_arm_that_runs_everywhere(monkeypatch: pytest.MonkeyPatch):
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len(code.splitlines()) < 30
    made: dict = {}
    exec(code, made)
    monkeypatch.setitem(FIXED, "neighbours", made["NEIGHBOURS"])
    assert missing_package("neighbours") is None
    for kind in Kind:
        spec = fixed_spec("neighbours", kind)
        compile(spec)
        assert "KNeighbors" in generate_code(spec)
