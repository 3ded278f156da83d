"""A rollout cut short, by Ctrl-C or by the death of its server: one sentence, and nothing collected is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from marl_llm.open_run import open_run
from marl_llm.serving import ModelServer, ServerDied
from marl_llm.stages import collect_stage
from marl_llm.trajectories import finished_episodes
from tests.dispositions import heeding_ctrl_c

RECIPE = """
name: cut
tasks: {per_iteration: 6, first_seed: 40}
environment: {steps: 2, cv_folds: 2, resamples: 100}
prompts: {instructions: false, names: false, memory_tokens: 120}
rollout: {proposals: 3, implementations: 1, episodes_at_once: 1, data_scientist_tokens: 48, engineer_tokens: 96}
serving: {max_model_len: 1024}
"""

pytestmark = pytest.mark.vllm


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def kept(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}


def test_ctrl_c_in_a_rollout_keeps_finished_episodes_and_the_same_command_goes_on(
    recipe: Path, tmp_path: Path, tiny_server: ModelServer
):
    run, parts = tmp_path / "run", tmp_path / "run" / "iteration_0000" / "trajectories"
    command = [sys.executable, "-m", "marl_llm.cli", "rollout", "--recipe", str(recipe), "--run", str(run)]
    command += ["--server", tiny_server.url]
    first = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heeding_ctrl_c
    )
    wait_for(lambda: finished_episodes(parts), 180)
    os.killpg(first.pid, signal.SIGINT)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 130 and "the same command goes on" in errors and "Traceback" not in errors
    before = kept(parts)
    assert 1 <= len(before) < 6
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    after = kept(parts)
    assert len(after) == 6 and before.items() <= after.items()


def test_a_server_that_dies_in_the_middle_of_a_rollout_loses_no_finished_episode(recipe: Path, tmp_path: Path):
    with open_run(recipe, tmp_path / "run") as opened:
        parts = opened.run.trajectories(0)
        server = opened.session.server()
        process = server._process
        assert process is not None

        def kill_after_the_first_episode() -> None:
            wait_for(lambda: finished_episodes(parts), 180)
            os.killpg(process.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_after_the_first_episode)
        killer.start()
        with pytest.raises(ServerDied, match="died|no longer answers") as died:
            collect_stage(opened, 0)
        killer.join()
        assert died.value.exit_code == 1
        before = kept(parts)
        assert 1 <= len(before) < 6
        opened.session.stop()
        collect_stage(opened, 0)
        assert opened.run.collected(0) and before.items() <= kept(parts).items()
