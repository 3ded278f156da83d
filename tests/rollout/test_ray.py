"""A real Ray cluster of two machines with one core each, on this one: the same rows as without it,
also where a machine is lost in the middle.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.kind import Kind
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors.machines import Machines, ThisMachine, open_machines
from marl_llm.rollout.executors.ray_machine import Computes
from marl_llm.rollout.executors.ray_sandbox import RaySandbox, Setup
from marl_llm.rollout.journal import UNFINISHED
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.rollout.policies import Ask, PolicyInfo, ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.summary import read_summaries
from marl_llm.sandbox import Limits, SandboxUnavailable
from marl_llm.sandbox.config import SandboxSection
from marl_llm.serving import Completion
from marl_llm.tasks import Task
from marl_llm.trajectories import read_rows
from tests.fixtures import shared_sandbox, small_task
from tests.rollout.test_collect import SETTINGS as LARGER

ray = pytest.importorskip("ray")

SETTINGS = replace(
    LARGER,
    rollout=LARGER.rollout.model_copy(
        update={"proposals": 2, "implementations": 1, "episodes_at_once": 4}
    ),
)
PLANS = [
    PlannedEpisode(f"e{i}", functools.partial(small_task, kind, 200))
    for i, kind in enumerate([Kind.binary, Kind.regression, Kind.binary])
]
LABELS = pd.Series([1.0]).to_numpy()
VERSIONS = Computes.here().versions
TIMES = ["latency_s", "evaluation_s", "analysis_cpu_s", "created_at"]


class Sampled:
    """The scripted agent, as if sampled by a slow model. Each reply leaves a file in `asked`."""

    info = PolicyInfo("sampled", 3, "abc")

    def __init__(self, asked: Path, seconds: float = 0.0) -> None:
        self._asked, self._seconds = asked, seconds

    async def reply(self, ask: Ask) -> Completion:
        await asyncio.sleep(self._seconds)
        reply = await ScriptedPolicy(0.4).reply(ask)
        where = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
        (self._asked / f"{ask.seed}-{time.monotonic_ns()}@{where}").touch()
        tokens = {"prompt_ids": [1, 2], "completion_ids": [3, ask.seed], "logprobs": [-0.1, -1 / 3]}
        return replace(reply, **tokens, latency_s=0.5)


def collect(
    machines: Machines, directory: Path, policy: Sampled, plans: Sequence[PlannedEpisode] = PLANS
) -> pd.DataFrame:
    async def run_all() -> None:
        team = functools.partial(nullcontext, Team(policy, policy))
        async with machines.executor(team) as executor:
            await Collector(directory, executor, SETTINGS).collect(plans, Progress("test"))

    asyncio.run(run_all())
    return read_rows(directory).drop(columns=TIMES)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("asked")


@pytest.fixture(scope="module")
def undisturbed(
    sandbox: object, tmp_path_factory: pytest.TempPathFactory, asked: Path
) -> pd.DataFrame:
    """The rows of this machine alone."""
    return collect(ThisMachine(shared_sandbox()), tmp_path_factory.mktemp("here"), Sampled(asked))


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """Its head plays nothing."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 100_000_000, "include_dashboard": False}
    one = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    one.add_node(num_cpus=1, object_store_memory=100_000_000)
    yield one
    ray.shutdown()
    one.shutdown()


@pytest.fixture(scope="module")
def machines(cluster) -> Iterator[Machines]:
    rollout = SETTINGS.rollout.model_copy(
        update={"executor": "ray", "ray_address": cluster.address}
    )
    with open_machines(rollout, SandboxSection()) as opened:
        yield opened


def test_a_machine_lost_in_the_middle_costs_no_row_and_no_kept_reply(
    cluster, machines, undisturbed, tmp_path, caplog
):
    """It joins late, too: both happen to people."""
    second = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    (asked := tmp_path / "asked").mkdir()

    async def lose_it() -> int:
        while not list(asked.glob(f"*@{second.node_id}")):
            await asyncio.sleep(0.05)
        replies = len(list(asked.iterdir()))
        await asyncio.to_thread(cluster.remove_node, second, allow_graceful=False)
        return replies

    async def run_all() -> int:
        losing = asyncio.create_task(lose_it())
        team = functools.partial(nullcontext, Team(*[Sampled(asked, 0.3)] * 2))
        async with machines.executor(team) as executor:
            collector = Collector(tmp_path / "there", executor, SETTINGS)
            await collector.collect(PLANS, Progress("test"))
        return await losing

    with caplog.at_level(logging.INFO, logger="marl_llm"):
        replies = asyncio.run(run_all())
    found = read_rows(tmp_path / "there").drop(columns=TIMES)
    pd.testing.assert_frame_equal(found, undisturbed, check_exact=True)
    assert len(read_summaries(tmp_path / "there")) == len(PLANS)
    assert not (tmp_path / "there" / UNFINISHED).exists()
    said = [record.getMessage() for record in caplog.records]
    lost = [text for text in said if "lost with its machine" in text]
    assert 1 <= len(lost) <= len(PLANS)
    kept = sum(int(re.findall(r"from (\d+) replies", text)[0]) for text in lost)
    seeds = [path.name.split("-")[0] for path in asked.iterdir()]
    again = len(seeds) - len(set(seeds))
    assert again <= replies - kept + len(lost) * SETTINGS.rollout.proposals


def test_a_mistake_of_a_person_is_one_sentence_from_any_machine(machines, tmp_path, asked):
    plan = PlannedEpisode("e0", functools.partial(no_such_file, "sales.csv"))
    with pytest.raises(UserError, match=r"^sales\.csv: there is no such file") as raised:
        collect(machines, tmp_path, Sampled(asked), [plan])
    assert raised.value.exit_code == 2 and "ray::" not in str(raised.value)


def no_such_file(name: str) -> Task:
    raise UserError(f"{name}: there is no such file.")


def test_a_snippet_runs_on_the_cluster_too(machines):
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0]})
    found = machines.sandbox.analyze("df['a'].sum()", frame, frame["a"].to_numpy())
    here = shared_sandbox().analyze("df['a'].sum()", frame, frame["a"].to_numpy())
    assert found.text == here.text == "7"


def test_machines_that_compute_otherwise_are_refused(machines):
    here = Computes.here()
    here.require_here()
    others = {
        "marl_llm": replace(here, package="0.0"),
        "numpy": replace(here, versions=tuple((n, v + ".1" * (n == "numpy")) for n, v in VERSIONS)),
        "kernels": replace(here, kernels=("openblas 0.3 Prescott",)),
    }
    for what, other in others.items():
        with pytest.raises(UserError, match=what):
            other.require_here()
    sandbox = RaySandbox(replace(machines.setup, computes=others["kernels"]))
    with pytest.raises(UserError, match="OPENBLAS_CORETYPE"):
        sandbox.analyze("1", pd.DataFrame({"a": [1.0]}), pd.Series([1.0]).to_numpy())


def test_a_cluster_without_a_core_is_waited_for_only_so_long(machines, monkeypatch):
    monkeypatch.setattr("marl_llm.rollout.executors.ray_sandbox._LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    sandbox = RaySandbox(replace(machines.setup, patience_s=0.1))
    with pytest.raises(RunFailed, match=r"no core for .* rollout\.ray_patience_s \(0\.1\)"):
        sandbox.analyze("import time; time.sleep(3)", pd.DataFrame({"a": [1.0]}), LABELS)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [("ray://10.0.0.1:10001", "give HOST:PORT"), ("127.0.0.1:9", "No Ray cluster answers")],
)
def test_a_wrong_address_is_one_sentence(address, sentence, monkeypatch):
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "1")
    rollout = SETTINGS.rollout.model_copy(update={"executor": "ray", "ray_address": address})
    with pytest.raises(UserError, match=sentence), open_machines(rollout, SandboxSection()):
        pass


def test_a_level_that_a_machine_does_not_know_is_refused(machines):
    setup = Setup("chroot", Limits(), machines.setup.computes, 1, 60.0)
    with pytest.raises(UserError, match="unknown isolation level 'chroot'") as raised:
        RaySandbox(setup).analyze("1", pd.DataFrame({"a": [1.0]}), LABELS)
    assert not isinstance(raised.value, SandboxUnavailable)  # a sentence travels, its class not
