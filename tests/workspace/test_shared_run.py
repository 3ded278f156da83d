"""Machines with different working copies collect into one run and train on it; any may die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.executors.local import LocalExecutor
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.summary import EpisodeSummary, read_summaries
from marl_llm.storage import RunAddress
from marl_llm.trajectories import finished_episodes, read_rows
from marl_llm.workspace.ledger import FILE, Ledger
from marl_llm.workspace.shared_run import SharedRun, run_to_read, working_copy
from tests.rollout.test_collect import ONE_STEP, PLANS, SCRIPTED, SETTINGS
from tests.workspace.shared import EPISODES, begin, collect, machine, play, train

SMALL = replace(
    SETTINGS, environment=ONE_STEP, rollout=RolloutConfig(proposals=2, implementations=1)
)
STAYS = {FILE, ".lock", "ml_engineer.log", "state", "x"}


def files(run: SharedRun) -> dict[str, bytes]:
    """What all machines have in common, but for the order of summaries."""
    return {
        path.relative_to(run.root).as_posix(): path.read_bytes()
        for path in sorted(run.root.rglob("*"))
        if path.is_file() and path.name not in {*STAYS, "episodes.jsonl"}
    }


@pytest.fixture
def memory(tmp_path: Path) -> RunAddress:
    return RunAddress(f"memory://{tmp_path.name}{time.monotonic_ns()}")


@pytest.fixture
def two(memory: RunAddress, tmp_path: Path) -> tuple[SharedRun, SharedRun]:
    """Two machines that know the same begun run."""
    a, b = machine(tmp_path / "a", memory), machine(tmp_path / "b", memory)
    begin(a)
    a.sync()
    b.sync()
    return a, b


def test_one_machine_collects_another_trains_and_both_end_with_the_same_run(address, tmp_path):
    a, b = machine(tmp_path / "a", address), machine(tmp_path / "b", address)
    with a.held():
        begin(a)
        collect(a, 0)
    with b.held():
        assert b.collected(0) and b.next_iteration() == 0
        assert len(read_rows(b.trajectories(0))) == len(EPISODES)
        assert read_summaries(b.trajectories(0)) == read_summaries(a.trajectories(0))
        train(b, 0, "trained by b")
        b.sync()
    a.sync()
    assert a.next_iteration() == 1 and a.version(ROLES[0]) == 1 and files(a) == files(b)
    assert not {path.name for path in a.root.rglob("*")} & (STAYS - {FILE, ".lock"})


@pytest.mark.parametrize("address", ["file", "s3"], indirect=True)  # memory is not for threads
def test_machines_that_collect_at_once_divide_the_episodes(address, tmp_path):
    runs = [machine(tmp_path / name, address) for name in "abc"]
    begin(runs[0])
    for run in runs:
        run.sync()
    played: list[str] = []
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda run: collect(run, 0, 0.05, lost_after_s=1.0), runs))
    for run in runs:
        assert run.collected(0)
        played.append("".join(read_rows(run.trajectories(0))["task"]))
    assert len(set(played)) == 1 and len(set(played[0])) > 1
    assert files(runs[0]) == files(runs[1]) == files(runs[2])


def test_the_collector_plays_its_share_and_publishes_each_episode_when_its_rows_are_written(
    sandbox, two
):
    a, b = two
    mine, others = (plan.name for plan in PLANS)
    sharing = Division(others)
    collector = Collector(a.trajectories(0), LocalExecutor(SCRIPTED, sandbox), SMALL, sharing)
    asyncio.run(collector.collect(PLANS, Progress("test")))
    assert finished_episodes(a.trajectories(0)) == {mine} == {one.episode for one in sharing.told}
    a.publish_episode(0, sharing.told[0])
    b.sync()
    assert files(b) == files(a) and read_summaries(b.trajectories(0)) == sharing.told


class Division:
    """Lets all episodes but one be played here."""

    def __init__(self, others: str) -> None:
        self._others, self.told = others, list[EpisodeSummary]()

    def take(self, episode: str) -> bool:
        return episode != self._others

    def finished(self, summary: EpisodeSummary) -> None:
        self.told.append(summary)


def test_a_machine_that_is_killed_is_replaced_and_goes_on_with_the_same_command(tmp_path):
    url = f"file://{tmp_path}/shared"
    address = RunAddress(url)

    published = tmp_path / "shared/published/iteration_0000/episodes"
    command = [sys.executable, "-m", "tests.workspace.shared", str(tmp_path / "a"), url, "1.0"]
    killed = subprocess.Popen(command, start_new_session=True)
    wait_for(lambda: published.is_dir() and list(published.glob("*.json")))
    claims = tmp_path / "shared/claims/iteration_0000"
    wait_for(lambda: len(list(claims.glob("*.json"))) > len(list(published.glob("*.json"))))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {path.name: path.read_bytes() for path in published.glob("*.json")}
    assert 1 <= len(before) < len(EPISODES)
    a, b = machine(tmp_path / "a", address), machine(tmp_path / "b", address)
    for run in (b, a):
        with run.held():
            collect(run, 0, lost_after_s=0.5)
    assert files(a) == files(b) and a.collected(0)
    assert [one.episode for one in read_summaries(b.trajectories(0))] == EPISODES
    assert before.items() <= {p.name: p.read_bytes() for p in published.glob("*.json")}.items()


def wait_for(there: Callable[[], object], seconds: float = 60.0) -> None:
    """Until it is, or a failure."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("steps", range(8))
def test_wherever_publishing_stops_the_others_see_whole_parts_and_the_same_command_goes_on(
    two, monkeypatch, steps
):
    a, b = two
    play(a, 0)(None)
    left = steps

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("upload", "create"):
            patch.setattr(a.objects, name, counted(getattr(a.objects, name)))
        with pytest.raises(KeyboardInterrupt):
            collect(a, 0)
    b.sync()
    here = finished_episodes(b.trajectories(0))
    assert len(here) == steps // 2 and not b.collected(0)
    assert {one.episode for one in read_summaries(b.trajectories(0))} == here
    collect(a, 0)
    b.sync()
    assert b.collected(0) and files(a) == files(b)


def test_of_two_machines_that_train_the_first_wins_and_nothing_of_the_other_is_left(two):
    a, b = two
    collect(a, 0)
    b.sync()
    train(a, 0, "by a")
    train(b, 0, "by b", more="promotion.json")
    a.sync()
    b.sync()
    assert files(a) == files(b) and "by a" in b.metrics(0).read_text()
    assert not (b.iteration(0) / "promotion.json").exists()


def test_of_two_machines_that_play_an_episode_the_first_wins(two):
    a, b = two
    for run in (a, b):
        play(run, 0)(None)
        run.sync()
    assert files(a) == files(b)
    assert {one.task for one in read_summaries(b.trajectories(0))} == {"a"}


def test_a_machine_that_starts_with_adapters_of_its_own_takes_those_that_were_published(
    memory, tmp_path
):
    a, b = machine(tmp_path / "a", memory), machine(tmp_path / "b", memory)
    begin(a)
    begin(b)
    (b.adapter(ROLES[0], 0) / "adapter_model.safetensors").write_text("other noise")
    a.sync()
    b.sync()
    assert files(a) == files(b) and b.sha256(ROLES[0], 0) == a.sha256(ROLES[0], 0)


def test_a_machine_with_another_recipe_is_refused_and_publishes_nothing(memory, tmp_path):
    a, b = machine(tmp_path / "a", memory), machine(tmp_path / "b", memory)
    begin(a)
    begin(b, seed=1)
    play(b, 0)(None)
    a.sync()
    with pytest.raises(UserError, match="another recipe"):
        b.sync()
    a.sync()
    assert not finished_episodes(a.trajectories(0))


def test_rows_are_not_published_into_a_run_that_was_made_anew(two, tmp_path):
    a, b = two
    play(b, 0)(None)
    a.objects._files.rm(a.objects._path("published"), recursive=True)
    with pytest.raises(UserError, match="is gone"):
        b.sync()
    c = machine(tmp_path / "c", a.address)
    begin(c)
    (c.root / "environment.json").write_text('{"another": "machine"}')
    c.sync()
    with pytest.raises(UserError, match="is another one now"):
        b.sync()
    assert not c.objects.names("published/iteration_0000")


def test_rows_that_were_deleted_here_are_fetched_again(two):
    a, b = two
    collect(a, 0)
    b.sync()
    before = files(b)
    (b.trajectories(0) / "part-p1.parquet").unlink()
    b.sync()
    assert files(b) == before


def test_a_part_that_was_deleted_there_is_published_again_by_who_has_it(two, tmp_path):
    a, b = two
    collect(a, 0)
    b.sync()
    a.objects._files.rm(a.objects._path("published/iteration_0000/episodes/p1.json"))
    b.sync()
    c = machine(tmp_path / "c", a.address)
    c.sync()
    assert c.collected(0) and files(c) == files(a)


def test_an_iteration_is_not_collected_before_all_its_rows_are_here(two, tmp_path):
    a, b = two
    collect(a, 0)
    there = a.objects._path("published/iteration_0000/episodes/p1.json")
    manifest = a.objects._files.cat_file(there)
    a.objects._files.rm(there)
    b.sync()
    assert len(finished_episodes(b.trajectories(0))) == 3 and not b.collected(0)
    a.objects._files.pipe_file(there, manifest)
    b.sync()
    assert b.collected(0) and files(a) == files(b)


@pytest.mark.parametrize("last", ["a", "c"])
def test_machines_agree_on_rows_that_a_storage_let_another_one_replace(two, last):
    """As where creation is not exclusive: both believe that theirs are published."""
    a, b = two
    play(a, 0)(None)
    a.sync()
    b.sync()
    mine = a._store.read(["iteration_0000/episodes/p1"]).popitem()[1]
    c = machine(a.root.with_name("c"), a.address)
    c.sync()
    (c.trajectories(0) / "part-p1.parquet").unlink()
    play(c, 0)(None)
    a.objects._files.rm(a.objects._path(f"published/{mine.name}.json"))
    c.publish_episode(0, read_summaries(c.trajectories(0))[1])
    collect(a if last == "a" else c, 0)
    for run in (a, b, c):
        run.sync()
        assert run.collected(0) and files(run) == files(a)
    assert list(read_rows(a.trajectories(0))["task"]) == ["a", "c", "a", "a"]


def test_a_machine_that_has_other_parts_than_others_built_on_is_told_to_begin_anew(two):
    a, b = two
    collect(a, 0)
    b.sync()
    train(a, 0, "by a")
    a.sync()
    b._ledger.put("iteration_0000/collected", "another")
    collected = a.objects._path("published/iteration_0000/collected.json")
    a.objects._files.rm(collected)
    a.objects._files.pipe_file(collected, b"")
    with pytest.raises(UserError, match="made from other parts"):
        b.sync()


def test_a_working_copy_is_one_of_one_address_and_its_name_outlives_a_torn_line(tmp_path):
    first = Ledger(tmp_path, "memory://a")
    first.put("start", "1")
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"bundle": "iteration')
    again = Ledger(tmp_path, "memory://a")
    again.put("other", "2")
    assert dict(Ledger(tmp_path, "memory://a")) == {"start": "1", "other": "2"}
    assert first.machine == again.machine
    with pytest.raises(UserError, match="is the working copy of memory://a"):
        Ledger(tmp_path, "memory://b")


def test_a_command_that_only_reads_finds_the_run_or_says_that_there_is_none(
    two, memory, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    collect(two[0], 0)
    run = run_to_read(memory)
    assert run.root == working_copy(memory) and run.collected(0) and run.name == memory.url
    with pytest.raises(UserError, match="there is no run; start it"):
        run_to_read(RunAddress(f"{memory}/elsewhere"))
    with two[0].held():
        assert isinstance(run, SharedRun)
        with run.held():
            assert run_to_read(memory).collected(0)
