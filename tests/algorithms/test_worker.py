"""The worker: one process, one specification, progress on standard output, metrics in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from marl_llm.algorithms.worker import main, read_spec
from marl_llm.core.errors import UserError
from marl_llm.core.owner import OWNED, STOPPED
from marl_llm.training.adapters import adapter_sha256
from marl_llm.training.data import join_credit
from tests.training.support import some_credit, worker_spec


@pytest.fixture
def spec(tiny: Any, logged: pd.DataFrame, tmp_path: Path) -> dict[str, Any]:
    return worker_spec(tiny, logged, tmp_path, {"batch_rows": 8, "learning_rate": 1e-3})


def test_worker_trains_from_files_to_files(spec: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "marl_llm.algorithms.worker", str(tmp_path / "spec.json")]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRL_"))
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events[-2:]] == ["step", "done"]
    assert [event["step"] for event in events[:-1]] == list(range(1, events[0]["total"] + 1))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["trained"] and metrics["loss"] == [event["loss"] for event in events[:-1]]
    assert metrics["adapter_sha256"] == adapter_sha256(Path(spec["out_dir"]))
    assert "Warning" not in done.stderr, done.stderr


def test_an_owned_worker_ends_when_its_owner_is_gone(spec: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(
        json.dumps(spec | {"config": {"batch_rows": 2, "epochs": 5000}})
    )
    command = [
        sys.executable,
        "-m",
        "marl_llm.algorithms.worker",
        str(tmp_path / "spec.json"),
        OWNED,
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        assert json.loads(worker.stdout.readline())["event"] == "step"
        worker.stdin.close()
        assert worker.wait(timeout=60) == STOPPED
    assert not Path(spec["out_dir"]).exists() and not Path(spec["metrics"]).exists()


def test_worker_reports_an_error_as_an_event_and_a_sentence(
    spec: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(spec["out_dir"]).mkdir(parents=True)
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert main([str(tmp_path / "spec.json")]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["event"] == "error" and "never overwritten" in err
    assert "Traceback" not in err and not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 1}, "learning_rate: Extra inputs"),
        ({"config": {"batchrows": 1}}, "config.batchrows: Extra inputs"),
        ({"config": {"loss_type": "vespo", "old_logps": "recompute"}}, "vespo cannot carry"),
        ({"rows": []}, "rows: List should have at least 1 item"),
    ],
)
def test_a_wrong_key_of_the_specification_is_named(
    spec: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(spec | change))
    with pytest.raises(UserError, match=message):
        read_spec(tmp_path / "spec.json")


def test_a_missing_or_broken_specification_gives_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_spec(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UserError, match="broken.json: the file: Invalid JSON"):
        read_spec(tmp_path / "broken.json")


def test_the_rewards_that_ppo_reads_come_with_the_advantages(logged: pd.DataFrame) -> None:
    scored = some_credit(logged).assign(reward=0.5, reward_own=-0.1, reward_no_gain=0.0)
    joined = join_credit(logged.drop(columns="advantage"), scored)
    assert set(joined["reward"]) == {0.5} and set(joined["reward_own"]) == {-0.1}
    assert "reward_no_gain" not in joined


def test_credit_of_other_rows_is_refused(logged: pd.DataFrame) -> None:
    credit = some_credit(logged)
    assert len(join_credit(logged.drop(columns="advantage"), credit)) == len(logged)
    with pytest.raises(UserError, match=r"names \d+ rows that were not found"):
        join_credit(logged.drop(columns="advantage").iloc[4:], credit)
    with pytest.raises(UserError, match="one to one"):
        join_credit(pd.concat([logged, logged]).drop(columns="advantage"), credit)


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, marl_llm.algorithms.worker, marl_llm.training.train_role;import "
        "marl_llm.training.adapters;heavy = ('torch', 'transformers', 'trl', 'peft', "
        "'datasets');sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
