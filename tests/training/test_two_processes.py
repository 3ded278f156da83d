"""Two real processes (accelerate, gloo) take the steps of one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from marl_llm.algorithms.worker import main
from marl_llm.training.adapters import WEIGHTS_FILE
from tests.training import one_of_two
from tests.training.support import worker_spec
from tests.warm_python import warm_python

CONFIGS = {
    "dapo": {"batch_rows": 22, "batch_tokens": 100, "beta": 0.05, "old_logps": "recompute"},
    "grpo": {"batch_rows": 8, "loss_type": "grpo", "gradient_accumulation": 2},
    "bnpo": {"batch_rows": 22, "loss_type": "bnpo", "batch_tokens": 60},
    "one prompt": {
        "batch_rows": 4,
        "loss_type": "dr_grpo",
    },  # a piece for the first process, a blank for the second
}
PHASE = {
    "batch_rows": 8,
    "epochs": 2,
    "learning_rate": 1e-3,
    "batch_tokens": 80,
    "checkpoint_steps": 2,
}


@pytest.fixture(scope="module")
def found(
    tiny: Any, logged: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What one process found, and what each of two did."""
    directory = tmp_path_factory.mktemp("two")
    logged.iloc[:22].to_pickle(directory / "rows.pkl")
    job = {
        "base_dir": str(tiny.base_dir),
        "adapter_dir": str(tiny.adapter_dir),
        "sha256": tiny.sha256,
    }
    job |= {"rows": str(directory / "rows.pkl"), "configs": CONFIGS, "phase": PHASE}
    for name in ("alone", "two"):
        (directory / name).mkdir()
        (directory / name / "job.json").write_text(json.dumps(job))
    with two(one_of_two.__file__, str(directory / "two" / "job.json")):
        one_of_two.main(directory / "alone" / "job.json")
    files = {"alone": "alone/found-alone.npz", "0": "two/found-0.npz", "1": "two/found-1.npz"}
    return {name: dict(np.load(directory / file)) for name, file in files.items()}


@contextmanager
def two(*arguments: str) -> Iterator[None]:
    """Python with these arguments, as both processes of one group; at the end both must have
    succeeded.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    running = [
        _start(arguments, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    try:
        yield
        for process in running:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in running:
            process.kill()
            process.wait()


def _start(arguments: tuple[str, ...], variables: dict[str, str]) -> subprocess.Popen[str]:
    command = [*warm_python(), *arguments]
    environment = os.environ | variables
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _of(found: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {
        key.removeprefix(f"{name}/"): value
        for key, value in found.items()
        if key.startswith(f"{name}/")
    }


@pytest.mark.parametrize("name", list(CONFIGS))
def test_two_processes_have_the_gradient_of_one(found: dict[str, Any], name: str) -> None:
    alone, zero, one = (_of(found[who], name) for who in ("alone", "0", "1"))
    weights = [key for key in alone if "lora_" in key]
    assert len(weights) == 28 and max(np.abs(alone[key]).max() for key in weights) > 1e-3
    for key in weights:
        np.testing.assert_allclose(zero[key], alone[key], atol=2e-6)
        np.testing.assert_array_equal(zero[key], one[key])
    np.testing.assert_allclose(zero["loss"], alone["loss"], rtol=1e-4, atol=1e-7)
    for key in (
        "metric replay/ratio_mean",
        "metric replay/ratio_max",
        "metric replay/ess_frac",
        "metric replay/entropy",
    ):
        np.testing.assert_allclose(zero[key], alone[key], rtol=1e-4)
        np.testing.assert_array_equal(zero[key], one[key])


def test_two_processes_share_the_scoring_and_both_know_all(found: dict[str, Any]) -> None:
    alone, zero, one = (_of(found[who], "dapo")["scores"] for who in ("alone", "0", "1"))
    np.testing.assert_allclose(zero, alone, atol=1e-5)
    np.testing.assert_array_equal(zero, one)


def test_a_phase_of_two_processes_ends_at_the_weights_of_one(found: dict[str, Any]) -> None:
    alone, zero, one = (_of(found[who], "phase") for who in ("alone", "0", "1"))
    assert alone.keys() == zero.keys() and len(alone) == 29
    for key in alone:
        np.testing.assert_allclose(zero[key], alone[key], rtol=2e-3, atol=2e-5)
        if key != "history":
            np.testing.assert_array_equal(zero[key], one[key])


@pytest.mark.parametrize("algorithm", ["sft", "ppo"])
def test_the_first_of_two_workers_publishes_what_one_would(
    algorithm: str, tiny: Any, logged: pd.DataFrame, tmp_path: Path
) -> None:
    config = {"algorithm": algorithm, "batch_rows": 8, "learning_rate": 1e-3}
    config |= {"critic_epochs": 1} if algorithm == "ppo" else {}
    alone = worker_spec(tiny, logged, tmp_path, config)
    alone["adapter_dir"] = str(tmp_path / "one" / "ds-v0")
    two_of = {"adapter_dir": str(tmp_path / "two" / "ds-v0")}
    two_of |= {name: str(tmp_path / "two" / name) for name in ("out_dir", "workdir", "metrics")}
    for name, spec in {"alone": alone, "two": alone | two_of}.items():
        shutil.copytree(tiny.adapter_dir, spec["adapter_dir"])  # a critic is published beside it
        (tmp_path / f"{name}.json").write_text(json.dumps(spec))
    with two("-m", "marl_llm.algorithms.worker", str(tmp_path / "two.json")):
        assert main([str(tmp_path / "alone.json")]) == 0
    published = {path.name for path in (tmp_path / "two").iterdir() if path.is_dir()} - {"workdir"}
    assert published == {"ds-v0", "out_dir"} | ({"ds-critic-v1"} if algorithm == "ppo" else set())
    one, both = (
        load_file(Path(spec["out_dir"]) / WEIGHTS_FILE) for spec in (alone, alone | two_of)
    )
    assert one.keys() == both.keys()
    for name in one:
        np.testing.assert_allclose(both[name], one[name], rtol=2e-3, atol=2e-5)
    assert json.loads(Path(two_of["metrics"]).read_text())["adapter_sha256"]
