"""Two real processes (accelerate, gloo) take the steps of one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.training import one_of_two

CONFIGS = {
    "dapo": {"batch_rows": 22, "batch_tokens": 100, "beta": 0.05, "old_logps": "recompute"},
    "grpo": {"batch_rows": 8, "loss_type": "grpo", "gradient_accumulation": 2},
    "bnpo": {"batch_rows": 22, "loss_type": "bnpo", "batch_tokens": 60},
    "one prompt": {"batch_rows": 4, "loss_type": "dr_grpo"},  # a piece for the first process, a blank for the second
}
PHASE = {"batch_rows": 8, "epochs": 2, "learning_rate": 1e-3, "batch_tokens": 80, "checkpoint_steps": 2}


@pytest.fixture(scope="module")
def found(tiny: Any, logged: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process found, and what each of two did."""
    directory = tmp_path_factory.mktemp("two")
    logged.iloc[:22].to_pickle(directory / "rows.pkl")
    job = {"base_dir": str(tiny.base_dir), "adapter_dir": str(tiny.adapter_dir), "sha256": tiny.sha256}
    job |= {"rows": str(directory / "rows.pkl"), "configs": CONFIGS, "phase": PHASE}
    for name in ("alone", "two"):
        (directory / name).mkdir()
        (directory / name / "job.json").write_text(json.dumps(job))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    running = [_start(directory / "two" / "job.json", rank) for rank in ranks]
    try:
        one_of_two.main(directory / "alone" / "job.json")
        for process in running:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in running:
            process.kill()
            process.wait()
    files = {"alone": "alone/found-alone.npz", "0": "two/found-0.npz", "1": "two/found-1.npz"}
    return {name: dict(np.load(directory / file)) for name, file in files.items()}


def _start(job: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, one_of_two.__file__, str(job)]
    environment = os.environ | variables
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _of(found: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}/"): value for key, value in found.items() if key.startswith(f"{name}/")}


@pytest.mark.parametrize("name", list(CONFIGS))
def test_two_processes_have_the_gradient_of_one(found: dict[str, Any], name: str) -> None:
    alone, zero, one = (_of(found[who], name) for who in ("alone", "0", "1"))
    weights = [key for key in alone if "lora_" in key]
    assert len(weights) == 28 and max(np.abs(alone[key]).max() for key in weights) > 1e-3
    for key in weights:
        np.testing.assert_allclose(zero[key], alone[key], atol=2e-6)
        np.testing.assert_array_equal(zero[key], one[key])
    np.testing.assert_allclose(zero["loss"], alone["loss"], rtol=1e-4, atol=1e-7)
    for key in ("metric replay/ratio_mean", "metric replay/ratio_max", "metric replay/ess_frac", "metric entropy"):
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
