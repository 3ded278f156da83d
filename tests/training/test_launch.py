"""Several processes as the recipe's `training.processes` starts them, by accelerate's launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from marl_llm.algorithms import worker
from marl_llm.algorithms.config import TrainingSection
from marl_llm.algorithms.launch import launch, why
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.owner import OWNED, STOPPED
from marl_llm.training.adapters import WEIGHTS_FILE
from marl_llm.workspace.trainers import Running, require_launchable, run_trainer
from tests.training import idle_worker, sharded_on_cpu
from tests.training.support import ROOT, worker_spec

FSDP = ROOT / "recipes" / "accelerate" / "fsdp.yaml"
CONFIG = {"algorithm": "grpo", "batch_rows": 8, "batch_tokens": 80, "learning_rate": 1e-3}
TWO = TrainingSection(processes=2)


@pytest.fixture(scope="module")
def spec(
    tiny: Any, logged: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Writes a specification whose results lie in a directory of the given name."""
    directory = tmp_path_factory.mktemp("launch")
    content = worker_spec(tiny, logged, directory, CONFIG | {"checkpoint_steps": 1, "epochs": 2})

    def written(name: str) -> Path:
        results = ("out_dir", "workdir", "metrics")
        own = content | {key: str(directory / name / key) for key in results}
        (directory / name).mkdir()
        path = directory / name / "ds-spec.json"
        path.write_text(json.dumps(own))
        return path

    return written


@pytest.fixture(scope="module")
def alone(spec: Callable[[str], Path]) -> dict[str, np.ndarray]:
    """The adapter of one process."""
    path = spec("alone")
    assert worker.main([str(path)]) == 0
    weights = _weights(path)
    assert max(np.abs(part).max() for part in weights.values()) > 0.01
    return weights


def _require_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, weight in one.items():
        np.testing.assert_allclose(other[name], weight, rtol=2e-3, atol=2e-5)


def _weights(spec: Path) -> dict[str, np.ndarray]:
    return load_file(spec.parent / "out_dir" / WEIGHTS_FILE)


def _kill_a_process(launcher: subprocess.Popen[str]) -> None:
    """SIGKILL for the launcher's second process."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)


def test_two_processes_one_of_which_is_killed_go_on_to_the_adapter_of_one(
    spec: Callable[[str], Path], alone: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    two = spec("two")
    running = Running()
    seen: list[int] = []

    def kill_at_three(message: str, *values: Any) -> None:
        seen.append(int(values[1]))
        if seen == [1, 2, 3]:  # of the first attempt; the second may take step 3 again
            _kill_a_process(running._workers[0])

    monkeypatch.setattr("marl_llm.workspace.trainers._EVERY_S", 0.0)
    monkeypatch.setattr("marl_llm.workspace.trainers.logger.info", kill_at_three)
    with pytest.raises(RunFailed, match=r"^x: process 2 was ended by SIGKILL, and the others"):
        run_trainer(two, "x", TWO, running)
    assert not (two.parent / "out_dir").exists() and seen[:3] == [1, 2, 3]
    run_trainer(two, "x", TWO)
    metrics = json.loads((two.parent / "metrics").read_text())
    assert metrics["resumed_from_step"] >= 2 and len(metrics["loss"]) == metrics["steps"] == 6
    _require_close(alone, _weights(two))


def test_a_model_in_parts_gives_the_adapter_of_one_process(
    spec: Callable[[str], Path], alone: dict[str, np.ndarray]
) -> None:
    parts = spec("parts")
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--config_file"]
    command += [str(FSDP), "--main_process_port", "0", sharded_on_cpu.__file__, str(parts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float((parts.parent / "sharded").read_text()) < 0.7, "half, and what was last gathered"
    _require_close(alone, _weights(parts))


@pytest.mark.parametrize("end", ["its owner", "the launcher", "Ctrl-C"])
def test_no_process_outlives(end: str, tmp_path: Path) -> None:
    program = (
        "import sys; from marl_llm.algorithms import launch; "
        f"launch._WORKER = {idle_worker.__name__!r}; sys.exit(launch.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "2", "-", str(tmp_path / "spec.json"), OWNED]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes, text=True, start_new_session=True) as launcher:
        assert launcher.stdin is not None and launcher.stdout is not None
        pids = [json.loads(launcher.stdout.readline())["pid"] for _ in range(2)]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        if end == "its owner":
            launcher.stdin.close()
        else:
            how = signal.SIGKILL if end == "the launcher" else signal.SIGINT
            (os.kill if end == "the launcher" else os.killpg)(launcher.pid, how)
        assert launcher.wait(60) == (-signal.SIGKILL if end == "the launcher" else STOPPED)
        assert launcher.stdout.read() == "", "ends when the last process does; nothing is told"
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ((-signal.SIGTERM, -signal.SIGKILL), "process 2 was ended by SIGKILL"),
        ((1, -signal.SIGABRT), "process 2 was ended by SIGABRT"),
        ((-signal.SIGTERM, 1), "process 2 ended with code 1"),
        ((-signal.SIGTERM, -signal.SIGTERM), "process 1 was ended by SIGTERM"),
    ],
)
def test_what_ended_the_others_is_named(codes: tuple[int, int], said: str) -> None:
    failures = {rank: ProcessFailure(rank, 1, code, "") for rank, code in enumerate(codes)}
    assert why(failures) == f"{said}, and the others with it"


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU a model can be in parts")
def test_a_model_in_parts_needs_gpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fsdp.yaml shards the model over GPUs, .* set it to null"):
        launch(2, str(FSDP), tmp_path / "spec.json")


def test_more_processes_than_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"processes: 4 needs .* has 2; set it to 2 at most"):
        launch(4, "-", tmp_path / "spec.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no such file; recipes/accelerate/ holds two."),
        ("a: [", "not readable as YAML"),
        ("distributed_type: NO", "its distributed_type must be FSDP or MULTI_GPU"),
        ("- FSDP", "its distributed_type must be FSDP or MULTI_GPU"),
        ("{distributed_type: FSDP, num_machines: 2}", "num_machines must be 1"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(text: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        require_launchable(TrainingSection(processes=2, accelerate=str(path)))
    assert str(caught.value).startswith(f"training.accelerate: {path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted(FSDP.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_configurations_in_recipes_are_configurations_of_accelerate(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    require_launchable(TrainingSection(processes=2, accelerate=str(path)))
    assert load_config_from_file(str(path)).num_machines == 1
