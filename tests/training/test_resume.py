"""A phase killed in the middle ends, started again, at the weights of one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from marl_llm.algorithms import GRPO
from marl_llm.algorithms.registry import read_algorithm
from marl_llm.training.adapters import adapter_sha256
from marl_llm.training.data import replay_rows
from marl_llm.training.phase import Phase
from marl_llm.training.resume import MARK, last_checkpoint, phase_fingerprint
from marl_llm.training.train_role import train_role
from tests.training.support import worker_spec

CONFIG = {
    "batch_rows": 2,
    "gradient_accumulation": 2,
    "epochs": 10,
    "learning_rate": 1e-3,
    "lr_scheduler": "cosine",
    "old_logps": "recompute",
    "beta": 0.02,
    "batch_tokens": 60,
    "checkpoint_steps": 5,  # of six steps an epoch: never at its end
}
PLAIN = {"gradient_accumulation": 1, "checkpoint_steps": 3}


@pytest.fixture
def spec(tiny: Any, logged: pd.DataFrame, tmp_path: Path) -> dict[str, Any]:
    return worker_spec(tiny, logged, tmp_path, CONFIG)


def _worker(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "marl_llm.algorithms.worker", str(path)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def test_a_worker_killed_in_the_middle_goes_on_to_the_same_weights(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    from marl_llm.algorithms.worker import main

    whole = spec | {
        name: str(tmp_path / "whole" / name) for name in ("out_dir", "workdir", "metrics")
    }
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    assert main([str(tmp_path / "whole.json")]) == 0
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    killed = _worker(tmp_path / "spec.json")
    assert killed.stdout is not None
    for line in killed.stdout:
        if json.loads(line).get("step") == 12:
            killed.send_signal(signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    checkpoints = sorted(path.name for path in (tmp_path / "work").glob("checkpoint-*"))
    assert len(checkpoints) >= 2 and not Path(spec["out_dir"]).exists()

    assert main([str(tmp_path / "spec.json")]) == 0
    assert adapter_sha256(Path(spec["out_dir"])) == adapter_sha256(Path(whole["out_dir"]))
    ours, theirs = (json.loads(Path(one["metrics"]).read_text()) for one in (spec, whole))
    assert ours["resumed_from_step"] in (10, 15, 20, 25) and theirs["resumed_from_step"] == 0
    assert ours["loss"] == theirs["loss"] and len(ours["loss"]) == 60
    assert (
        ours["history"] == theirs["history"]
        and ours["importance_weights"] == theirs["importance_weights"]
    )
    assert not list((tmp_path / "work").glob("checkpoint-*")), (
        "a finished phase leaves no checkpoints"
    )


@pytest.fixture
def phase(tiny: Any, logged: pd.DataFrame, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Two epochs of six steps; returns the metrics."""

    def _phase(on_step: Any = None, rows: int = 24, **changes: Any) -> dict[str, Any]:
        config = GRPO(**{**CONFIG, "epochs": 2, "batch_rows": 4, **PLAIN, **changes})
        given = Phase(
            tiny.base_dir, tiny.adapter_dir, tiny.sha256, tmp_path / "work", seed=1, on_step=on_step
        )
        chosen = replay_rows(logged.iloc[:rows])[0]
        return config.train(chosen, given)[1]

    return _phase


class _Stop(Exception):
    pass


def _stop_at(step: int) -> Callable[..., None]:
    def _on_step(number: int, *_: Any) -> None:
        if number == step:
            raise _Stop

    return _on_step


@pytest.mark.parametrize("algorithm", ["sft", "dpo"])
def test_imitation_and_preferences_go_on_to_the_same_weights(
    algorithm: str, tiny: Any, logged: pd.DataFrame, tmp_path: Path
) -> None:
    settings = {
        "algorithm": algorithm,
        "batch_rows": 2,
        "epochs": 6,
        "lr_scheduler": "cosine",
        "checkpoint_steps": 2,
    }

    def train(name: str, on_step: Any = None) -> dict[str, Any]:
        return train_role(
            logged,
            base_dir=tiny.base_dir,
            adapter_dir=tiny.adapter_dir,
            out_dir=tmp_path / name,
            algorithm=read_algorithm(settings),
            workdir=tmp_path / f"{name}-work",
            seed=1,
            on_step=on_step,
        )

    whole = train("whole")
    with pytest.raises(_Stop):
        train("stopped", _stop_at(5))
    resumed = train("stopped")
    assert (
        resumed["resumed_from_step"] == 4 and whole["resumed_from_step"] == 0 and whole["steps"] > 6
    )
    assert resumed["adapter_sha256"] == whole["adapter_sha256"] and resumed["loss"] == whole["loss"]


def test_a_half_written_checkpoint_does_not_count(phase: Callable, tmp_path: Path) -> None:
    with pytest.raises(_Stop):
        phase(_stop_at(8))
    (tmp_path / "work" / "checkpoint-6" / MARK).unlink()
    assert phase()["resumed_from_step"] == 3


@pytest.mark.parametrize("change", [{"rows": 20}, {"learning_rate": 2e-3}])
def test_a_checkpoint_of_other_rows_or_settings_is_removed(
    phase: Callable, change: dict[str, Any]
) -> None:
    with pytest.raises(_Stop):
        phase(_stop_at(8))
    assert phase(**change)["resumed_from_step"] == 0


def test_without_checkpoints_nothing_is_written(phase: Callable, tmp_path: Path) -> None:
    with pytest.raises(_Stop):
        phase(_stop_at(8), checkpoint_steps=None)
    assert not list((tmp_path / "work").glob("checkpoint-*"))


def test_the_fingerprint_follows_all_that_the_weights_follow_from(
    logged: pd.DataFrame, tmp_path: Path
) -> None:
    rows, config = replay_rows(logged)[0], GRPO()
    changed = logged.copy()
    changed.loc[3, "advantage"] += 1e-3
    prints = {
        phase_fingerprint(rows, config, "a", 0),
        phase_fingerprint(rows[::-1], config, "a", 0),
        phase_fingerprint(replay_rows(changed)[0], config, "a", 0),
        phase_fingerprint(rows, GRPO(epochs=2), "a", 0),
        phase_fingerprint(rows, config, "b", 0),
        phase_fingerprint(rows, config, "a", 1),
    }
    assert len(prints) == 6
    assert phase_fingerprint(replay_rows(logged)[0], GRPO(), "a", 0) in prints
    assert last_checkpoint(tmp_path / "none", "x") is None
