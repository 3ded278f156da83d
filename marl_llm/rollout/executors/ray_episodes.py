"""Episodes on a Ray cluster: each is a task that waits for the model on one machine while its
evaluations run on all of them.

In: planned episodes, and how to open their team there. Out: what the local executor gives. Sampled
completions are sent back as they come and kept in the episode's journal here, so an episode whose
machine is lost goes on elsewhere without sampling any of them again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.rollout.executors.local import LocalExecutor
from marl_llm.rollout.executors.ray_machine import portable, refused
from marl_llm.rollout.executors.ray_sandbox import RaySandbox, Setup
from marl_llm.rollout.journal import Journal, Spent
from marl_llm.rollout.meter import Meter
from marl_llm.rollout.planned import CollectSettings, OpensTeam, PlannedEpisode, PlayedEpisode
from marl_llm.serving import Completion

if TYPE_CHECKING:
    from ray.util.queue import Queue

logger = logging.getLogger(__name__)

_LOSSES = 10
"""Times that an episode is played on because its machine was lost."""


class RayExecutor:
    """Plays episodes on the cluster that this process is connected to. An `Executor`.

    Parameters
    ----------
    setup : Setup
    opens : OpensTeam
        Can be sent to another process.
    said : Queue
        Takes what the episodes sample to this process; `listening` reads it.
    meter : Meter
        Of what the episodes share besides: this process and the model server.
    """

    def __init__(self, setup: Setup, opens: OpensTeam, said: Queue, meter: Meter) -> None:
        self._setup, self._opens, self._said, self._meter = setup, opens, said, meter
        self._journals: dict[str, Journal] = {}
        self._running: set[Any] = set()

    async def play(
        self, plan: PlannedEpisode, settings: CollectSettings, journal: Journal
    ) -> PlayedEpisode:
        """Play one episode; where its machine is lost, on another one.

        Raises
        ------
        UserError
            The task cannot be loaded or played, e.g. a file that this machine has and that one has
            not.
        RunFailed
            The episode was lost too often.
        """
        from ray.exceptions import RayError, RayTaskError

        self._journals[plan.name] = journal
        try:
            with self._meter.episode() as share:
                for lost in range(_LOSSES + 1):
                    try:
                        played = await self._on_a_machine(plan, settings, journal)
                    except RayTaskError:
                        raise
                    except RayError as error:
                        what, kept = type(error).__name__, len(journal.kept)
                        logger.warning(
                            "%s was lost with its machine (%s); it goes on elsewhere from %d "
                            "replies sampled before",
                            plan.name,
                            what,
                            kept,
                        )
                        if lost == _LOSSES:
                            raise RunFailed(
                                f"{plan.name} was lost with its machine {_LOSSES + 1} times "
                                f"({what}): look at `ray status`, then run again; what was "
                                "finished is kept."
                            ) from error
                    else:
                        self._meter.settle()
                        return _with_cpu(played, share.cpu_s)
            raise AssertionError("unreachable")
        finally:
            del self._journals[plan.name]

    def close(self) -> None:
        """End what is running."""
        import ray

        for task in self._running:
            with suppress(Exception):  # it may have ended, or the cluster may be gone
                ray.cancel(task, force=True)

    async def listen(self) -> None:
        """Keep what the episodes sample, until cancelled."""
        while True:
            name, key, completion, spent = await self._said.get_async()
            journal = self._journals.get(name)
            if journal is not None and key not in journal.kept:
                journal.kept[key], journal.spent = completion, spent
                journal.add(key, completion, spent)

    async def _on_a_machine(
        self, plan: PlannedEpisode, settings: CollectSettings, journal: Journal
    ) -> PlayedEpisode:
        import ray

        there = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy="SPREAD")(_play)
        kept = dict(journal.kept)
        task = there.remote(
            plan, _there(settings), self._opens, self._setup, kept, journal.spent, self._said
        )
        self._running.add(task)
        try:
            return refused(await task)
        finally:
            self._running.discard(task)


@asynccontextmanager
async def listening(executor: RayExecutor) -> AsyncIterator[RayExecutor]:
    """The executor, listening for as long as the block runs."""
    ear = asyncio.create_task(executor.listen())
    try:
        yield executor
    finally:
        executor.close()
        ear.cancel()
        with suppress(asyncio.CancelledError):
            await ear


class _SentJournal:
    """Of an episode that is played far from its file. A `Journal`."""

    def __init__(self, name: str, kept: dict[str, Completion], spent: Spent, said: Queue) -> None:
        self._name, self._said = name, said
        self.kept, self.spent, self.repeated = kept, spent, 0

    def add(self, key: str, completion: Completion, spent: Spent) -> None:
        """Send a completion to whoever listens; not waited for."""
        assert self._said.actor is not None
        self._said.actor.put.remote((self._name, key, completion, spent))


def _play(
    plan: PlannedEpisode,
    settings: CollectSettings,
    opens: OpensTeam,
    setup: Setup,
    kept: dict[str, Completion],
    spent: Spent,
    said: Queue,
) -> PlayedEpisode | UserError:
    """Play one episode in this worker process."""

    async def play() -> PlayedEpisode:
        async with opens() as team:
            executor = LocalExecutor(team, RaySandbox(setup))
            try:
                return await executor.play(
                    plan, settings, _SentJournal(plan.name, kept, spent, said)
                )
            finally:
                executor.close()

    try:
        setup.computes.require_here()
        return asyncio.run(play())
    except UserError as error:
        return portable(error)


def _there(settings: CollectSettings) -> CollectSettings:
    """The same for a process with another working directory."""
    cache = settings.environment.cache
    if cache is None:
        return settings
    absolute = {"cache": str(Path(cache).resolve())}
    return replace(settings, environment=settings.environment.model_copy(update=absolute))


def _with_cpu(played: PlayedEpisode, seconds: float) -> PlayedEpisode:
    """The same with the CPU time of what episodes share."""
    own = played.summary.cpu_s or 0.0
    return replace(played, summary=replace(played.summary, cpu_s=round(own + seconds, 3)))
