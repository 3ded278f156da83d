"""The bench of a real model, on the embedded one: what transformers sampled passes the gate, and
the figures are there. Its serving half is the server's and the client's, which have tests of their
own.
"""

from __future__ import annotations

from pathlib import Path

import model_bench
import numpy as np
import pytest
from model_bench import chats, generated, replay_rows, trained

from marl_llm.algorithms import GRPO
from marl_llm.algorithms.phase_bench import SHAPES, random_model
from marl_llm.training.adapters import adapter_sha256, create_adapter
from marl_llm.workspace.teams import EMBEDDED

CONFIG = GRPO(batch_rows=4, batch_tokens=2048, max_completion_tokens=6)


def test_rows_that_transformers_sampled_pass_the_gate_and_altered_ones_do_not(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("marl_llm.algorithms.phase_bench.product_rates", lambda: {"float32": 1e9})
    adapter = create_adapter(EMBEDDED, tmp_path / "first-v0", rank=4, alpha=8, seed=0)
    turns = generated(EMBEDDED, adapter, chats(1), 4, 6)
    assert len(turns) == 4 and all(0 < len(ids) == len(logps) <= 6 for _, ids, logps in turns)
    rows = replay_rows(turns, adapter_sha256(adapter))
    found = trained(EMBEDDED, adapter, rows, CONFIG, tmp_path / "work")
    assert found["gate"]["passed"] and found["gate"]["rows"] == found["rows"] == 4
    assert found["tokens/s"] > found["computed cells/s"] > 0 and found["peak memory, GiB"] > 0
    assert found["of the product rate"] > 0
    off = [(prompt, ids, np.asarray(logps) - 0.5) for prompt, ids, logps in turns]
    assert not trained(EMBEDDED, adapter, replay_rows(off, ""), CONFIG, tmp_path / "off")["gate"][
        "passed"
    ]


def test_a_directory_without_a_model_is_refused_in_one_sentence(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("sys.argv", ["model_bench", "--base", str(tmp_path), "--no-serving"])
    assert model_bench.main() == 2
    assert f"{tmp_path}: no model here, config.json is missing." in caplog.text


def test_a_shape_becomes_a_model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    monkeypatch.setitem(SHAPES, "small", small | {"num_key_value_heads": 1, "vocab_size": 1024})
    directory = random_model("small", tmp_path / "small")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in directory.iterdir()
    }
