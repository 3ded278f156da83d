"""A rollout cut short, by Ctrl-C, a kill or the death of its server: one sentence, and nothing
sampled is lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marl_llm.pipeline.stages import collect_stage
from marl_llm.rollout.journal import UNFINISHED, EpisodeJournal
from marl_llm.serving import ChatClient, Completion, ModelServer, ServerDied
from marl_llm.trajectories import finished_episodes, read_rows
from marl_llm.workspace.open_run import open_run
from tests.dispositions import heeding_ctrl_c

RECIPE = """
name: cut
tasks: {per_iteration: 3, first_seed: 41}
environment: {steps: 1, cv_folds: 2, resamples: 100}
prompts: {instructions: false, names: false, memory_tokens: 120}
rollout: {proposals: 2, implementations: 1, episodes_at_once: 1,
  data_scientist_tokens: 48, engineer_tokens: 96}
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


def command(recipe: Path, run: Path, server: ModelServer) -> list[str]:
    told = ["--recipe", str(recipe), "--run", str(run), "--server", server.url]
    return [sys.executable, "-m", "marl_llm.cli", "rollout", *told]


def test_ctrl_c_in_a_rollout_keeps_finished_episodes_and_the_same_command_goes_on(
    recipe: Path, tmp_path: Path, tiny_server: ModelServer
):
    run, parts = tmp_path / "run", tmp_path / "run" / "iteration_0000" / "trajectories"
    same = command(recipe, run, tiny_server)
    first = subprocess.Popen(
        same, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heeding_ctrl_c
    )
    wait_for(lambda: finished_episodes(parts), 180)
    os.killpg(first.pid, signal.SIGINT)
    _, errors = first.communicate(timeout=60)
    assert (
        first.returncode == 130
        and "the same command goes on" in errors
        and "Traceback" not in errors
    )
    before = kept(parts)
    assert 1 <= len(before) < 3
    assert subprocess.run(same, capture_output=True, timeout=300, check=False).returncode == 0
    after = kept(parts)
    assert len(after) == 3 and before.items() <= after.items()


def answered(server: ModelServer) -> int:
    """Completions that the server has made; those of a client just killed are waited for."""

    async def told() -> float:
        async with ChatClient(server) as client:
            counters = await client.counters()
            assert counters is not None
            return counters.answered

    seen, now = -1.0, asyncio.run(told())
    while now != seen:
        time.sleep(1)
        seen, now = now, asyncio.run(told())
    return int(now)


def kept_replies(parts: Path) -> list[Completion]:
    journals = [EpisodeJournal(parts, path.stem) for path in (parts / UNFINISHED).glob("*.jsonl")]
    return [completion for journal in journals for completion in journal.kept.values()]


def rows_but_for_times(parts: Path) -> pd.DataFrame:
    times = ["latency_s", "evaluation_s", "analysis_cpu_s", "created_at"]
    rows = read_rows(parts).drop(columns=["run", "adapter", "logprobs", *times])
    return rows.assign(
        prompt_ids=rows["prompt_ids"].map(list), completion_ids=rows["completion_ids"].map(list)
    )


def test_a_rollout_killed_in_the_middle_of_an_episode_samples_no_completion_again(
    tmp_path: Path, tiny_server: ModelServer
):
    parts = {}
    for name in ("undisturbed", "killed"):
        (tmp_path / f"{name}.yaml").write_text(
            RECIPE.replace("name: cut", f"name: {name}")
            .replace("per_iteration: 3", "per_iteration: 1")
            .replace("steps: 1", "steps: 2")
            .replace("proposals: 2", "proposals: 3")
        )
        parts[name] = tmp_path / name / "iteration_0000" / "trajectories"
    whole = command(tmp_path / "undisturbed.yaml", tmp_path / "undisturbed", tiny_server)
    assert subprocess.run(whole, capture_output=True, timeout=300, check=False).returncode == 0
    same = command(tmp_path / "killed.yaml", tmp_path / "killed", tiny_server)
    first = subprocess.Popen(same, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: len(kept_replies(parts["killed"])) >= 4, 180)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    kept, before = kept_replies(parts["killed"]), answered(tiny_server)
    assert len(kept) >= 4 and not finished_episodes(parts["killed"])
    assert subprocess.run(same, capture_output=True, timeout=300, check=False).returncode == 0
    rows = read_rows(parts["killed"])
    assert answered(tiny_server) - before == len(rows) - len(kept)
    collected = set(
        zip(map(tuple, rows["completion_ids"]), map(float, rows["latency_s"]), strict=True)
    )
    assert {
        (tuple(one.completion_ids), float(np.float32(one.latency_s))) for one in kept
    } <= collected
    pd.testing.assert_frame_equal(
        rows_but_for_times(parts["killed"]), rows_but_for_times(parts["undisturbed"])
    )
    assert not (parts["killed"] / UNFINISHED).exists()


def test_a_server_that_dies_in_the_middle_of_a_rollout_loses_no_finished_episode(
    recipe: Path, tmp_path: Path, tiny_server: ModelServer
):
    recipe.write_text(RECIPE.replace("name: cut", "name: died"))
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
        assert 1 <= len(before) < 3
    with open_run(recipe, tmp_path / "run", tiny_server.url) as opened:
        collect_stage(opened, 0)
        assert opened.run.collected(0) and before.items() <= kept(parts).items()
