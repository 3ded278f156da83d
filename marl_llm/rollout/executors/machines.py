"""The machines that a run uses: this one, or a Ray cluster. Both give a sandbox and an executor."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.executors.local import LocalExecutor
from marl_llm.rollout.meter import Meter
from marl_llm.rollout.planned import Executor, OpensTeam
from marl_llm.sandbox import SandboxPool
from marl_llm.sandbox.config import SandboxSection
from marl_llm.sandbox.kernels import chosen_by
from marl_llm.sandbox.opened import sandbox_of

if TYPE_CHECKING:
    from marl_llm.rollout.executors.ray_sandbox import Setup

logger = logging.getLogger(__name__)

_ANSWER_S = 5.0
"""Longest wait for the head of a cluster to take a connection."""
_LOOK_S = 120.0
"""Longest wait for a machine's word that it can evaluate: its worker starts, its sandbox is
tested.
"""


class Machines(Protocol):
    """Where episodes are played and evaluations run."""

    @property
    def sandbox(self) -> SandboxPool:
        """Evaluates on any of them."""
        ...

    @property
    def addresses(self) -> frozenset[str]:
        """Of the machines that play, other than by being this one; empty for this one alone."""
        ...

    def executor(
        self, opens: OpensTeam, meter: Meter | None = None
    ) -> AbstractAsyncContextManager[Executor]:
        """Plays episodes of the team that `opens` gives, for one event loop.

        Parameters
        ----------
        opens : OpensTeam
            Where `addresses` is not empty it is sent to other processes.
        meter : Meter, optional
            Divides the CPU time that episodes share; by default this process's.
        """
        ...


@dataclass(frozen=True)
class ThisMachine:
    """This machine alone."""

    sandbox: SandboxPool
    addresses: frozenset[str] = frozenset()

    @asynccontextmanager
    async def executor(
        self, opens: OpensTeam, meter: Meter | None = None
    ) -> AsyncIterator[Executor]:
        """Episodes in this process."""
        async with opens() as team:
            yield LocalExecutor(team, self.sandbox, meter)


@dataclass(frozen=True)
class RayCluster:
    """The machines of a Ray cluster that this process is connected to."""

    sandbox: SandboxPool
    addresses: frozenset[str]
    setup: Setup

    @asynccontextmanager
    async def executor(
        self, opens: OpensTeam, meter: Meter | None = None
    ) -> AsyncIterator[Executor]:
        """Episodes on all machines; what they sample is kept by this process."""
        import ray
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from marl_llm.rollout.executors.ray_episodes import RayExecutor, listening

        node = ray.get_runtime_context().get_node_id()
        here = {
            "num_cpus": 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }
        said = Queue(actor_options=here)
        try:
            async with listening(RayExecutor(self.setup, opens, said, meter or Meter())) as one:
                yield one
        finally:
            said.shutdown(force=True)


@contextmanager
def open_machines(rollout: RolloutConfig, section: SandboxSection) -> Iterator[Machines]:
    """The machines that a recipe names, tested; what was started ends with the block.

    Raises
    ------
    UserError
        There is no such cluster, Ray is not installed, or a machine cannot evaluate as this one
        does.
    """
    if rollout.executor == "ray":
        with _cluster(rollout, section) as cluster:
            yield cluster
        return
    with sandbox_of(section) as sandbox:
        yield ThisMachine(sandbox)


@contextmanager
def _cluster(rollout: RolloutConfig, section: SandboxSection) -> Iterator[RayCluster]:
    try:
        import ray
    except ImportError:
        raise UserError(
            "rollout.executor is ray, which is not installed: pip install 'marl_llm[ray]', or set "
            "it to local."
        ) from None
    from marl_llm.rollout.executors.ray_machine import Computes
    from marl_llm.rollout.executors.ray_sandbox import RaySandbox, Setup

    _connect(ray, rollout.ray_address)
    try:
        computes = Computes.here()
        cores = int(ray.cluster_resources().get("CPU", 0))
        setup = Setup(section, computes, max(1, cores), rollout.ray_patience_s)
        addresses = _tested(ray, setup)
        logger.info("Ray: %d machines, %d cores", len(addresses), cores)
        yield RayCluster(RaySandbox(setup), frozenset(addresses.values()), setup)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    if address is not None and "://" in address:
        raise UserError(
            f"--ray-address {address}: give HOST:PORT of a cluster that this machine is part of "
            "(`ray start --address=HOST:PORT` makes it one), or auto."
        )
    if address is not None and ":" in address:
        _require_answer(address)  # Ray itself would wait for minutes
    variables = {**chosen_by(os.environ), "OMP_NUM_THREADS": "1"}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.WARNING,
            include_dashboard=False if address is None else None,
            runtime_env={"env_vars": variables},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"No Ray cluster answers at {address or 'this machine'} "
            f"({' '.join(str(error).split())[:160]}): start one with `ray start --head`, and "
            "this machine's part of it with `ray start --address=HOST:PORT`."
        ) from None


def _require_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"No Ray cluster answers at {address} ({error}): start one with `ray start --head`, or "
            "name its HOST:PORT."
        ) from None


def _tested(ray: Any, setup: Setup) -> dict[str, str]:
    """Address of each machine by node, after each of them that has a core has evaluated.

    Raises
    ------
    UserError
        One cannot isolate, or computes otherwise than this one.
    RunFailed
        One does not answer.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from marl_llm.rollout.executors.ray_machine import refused
    from marl_llm.rollout.executors.ray_sandbox import ready

    nodes = {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    }
    if not nodes:
        raise UserError(
            "No machine of the Ray cluster has a core to evaluate on: start some with `ray start "
            "--address=HOST:PORT --num-cpus=N`."
        )
    looks = {
        ray.remote(num_cpus=1, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True))(
            ready
        ).remote(setup): address
        for node, address in nodes.items()
    }
    done, late = ray.wait(list(looks), num_returns=len(looks), timeout=_LOOK_S)
    if late:
        raise RunFailed(
            f"The machine {looks[late[0]]} of the Ray cluster has not started an evaluation within "
            f"{_LOOK_S:.0f} s: look at `ray status`; it may be busy with another job."
        )
    for one in done:
        refused(ray.get(one))
    return nodes
