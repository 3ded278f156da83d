"""YAML of a person is read within bounds, whatever it says."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marl_llm.core.yaml_files import read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "values with what its aliases stand for"),
        ("[" * 100_000, "nested more than 64 deep|maximum nesting depth"),
        ("a:\n" + "".join(" " * i + "-\n" for i in range(1, 200)), "nested more than 64 deep"),
        ("seed: " + "9" * 5000, "line 1 has a number of 5000 digits"),
        ("a: 2024-13-45", "month"),
        ("a: [1", "expected"),
        ("a: &a [*a, 1]\n", "recursive|alias|itself"),
        ("#" * (5 * 2**20), "more than 4 MiB"),
    ],
    ids=["bomb", "deep", "deep block", "digits", "date", "cut", "in itself", "large"],
)
def test_what_is_out_of_bounds_is_one_line_at_once(tmp_path: Path, text: str, says: str):
    (tmp_path / "a.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(ValueError, match=says) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    assert time.process_time() - began < 3


def test_aliases_within_bounds_are_taken(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "a.yaml") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(alphabet="&*a: [],{}-\n'\"0123!<>|?", max_size=60) | st.binary(max_size=40))
def test_any_content_is_read_or_refused(tmp_path: Path, content: str | bytes):
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / "a.yaml").write_bytes(data)
    with contextlib.suppress(ValueError):
        read_yaml(tmp_path / "a.yaml")
