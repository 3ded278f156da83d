"""Which precision a CPU computes a model in: what the weights are stored in, and what this machine
is fast at.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marl_llm.core import precision
from marl_llm.core.errors import UserError


def _model(directory: Path, **config: str) -> Path:
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize(
    ("config", "speedup", "chosen"),
    [
        ({"dtype": "bfloat16"}, 2.0, "bfloat16"),
        ({"torch_dtype": "bfloat16"}, 2.0, "bfloat16"),
        ({"dtype": "bfloat16"}, 0.5, "float32"),
        ({"dtype": "float32"}, 2.0, "float32"),
        ({}, 2.0, "float32"),
    ],
)
def test_bfloat16_where_it_is_stored_and_faster(
    config: dict[str, str],
    speedup: float,
    chosen: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda: speedup)
    assert precision.cpu_precision(_model(tmp_path, **config)) == chosen


def test_a_model_stored_in_float32_is_not_measured_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda: pytest.fail("measured"))
    assert precision.cpu_precision(_model(tmp_path, dtype="float32")) == "float32"


@pytest.mark.parametrize("text", ["{broken", "3", ""])
def test_a_damaged_config_is_named_in_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json cannot be read .*: get the model again\.$"):
        precision.cpu_precision(tmp_path)


def test_this_machine_is_measured_once_and_a_damaged_note_of_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    precision.bfloat16_speedup.cache_clear()
    found = precision.bfloat16_speedup()
    assert 0.01 < found < 100
    note = tmp_path / "marl_llm" / "bfloat16.json"
    assert list(json.loads(note.read_text()).values()) == [found]
    precision.bfloat16_speedup.cache_clear()
    assert precision.bfloat16_speedup() == found
    note.write_text("{")
    precision.bfloat16_speedup.cache_clear()
    assert 0.01 < precision.bfloat16_speedup() < 100 and len(json.loads(note.read_text())) == 1
    precision.bfloat16_speedup.cache_clear()


def test_rates_are_of_both_precisions() -> None:
    rates = precision.product_rates(seconds=0.05)
    assert rates.keys() == {"float32", "bfloat16"} and all(
        1e8 < rate < 1e14 for rate in rates.values()
    )
