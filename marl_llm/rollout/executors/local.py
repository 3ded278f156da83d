"""Episodes in this process, their evaluations in the sandbox that it is given."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import State, TeamEnv
from marl_llm.environment.experience import known_data_set, shown_lines
from marl_llm.rollout.episode import EpisodePlayer, EpisodeResult, Team
from marl_llm.rollout.journal import Journal, JournaledPolicy, Spent
from marl_llm.rollout.meter import Meter
from marl_llm.rollout.planned import CollectSettings, PlannedEpisode, PlayedEpisode
from marl_llm.rollout.policies import Policy
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.summary import EpisodeSummary
from marl_llm.rollout.turns import TurnContext, derive_seed
from marl_llm.sandbox import SandboxPool

T = TypeVar("T")

logger = logging.getLogger(__name__)

_SETTLE_EVERY_S = 5.0
"""How exact the CPU time in a journal is; reading the clock of a server's processes takes some
milliseconds.
"""


class LocalExecutor:
    """Plays episodes here. An `Executor`.

    Parameters
    ----------
    team : Team
        Who plays, open in the running event loop.
    sandbox : SandboxPool
    meter : Meter, optional
        Divides the CPU time that episodes share; by default this process's.
    """

    def __init__(self, team: Team, sandbox: SandboxPool, meter: Meter | None = None) -> None:
        self._team, self._sandbox, self._meter = team, sandbox, meter or Meter()
        workers = 2 * sandbox.slots + 2
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="evaluate")

    async def play(
        self, plan: PlannedEpisode, settings: CollectSettings, journal: Journal
    ) -> PlayedEpisode:
        """Play one episode, on from what its journal holds."""
        with self._meter.episode() as share:
            began = time.monotonic() - journal.spent.wall_s
            # Both have the server's start in them.
            share.cpu_s = max(share.cpu_s, journal.spent.cpu_s)
            if journal.kept:
                logger.info(
                    "%s goes on from %d replies sampled before", plan.name, len(journal.kept)
                )

            def spent() -> Spent:
                self._meter.settle(_SETTLE_EVERY_S)
                return Spent(share.cpu_s, time.monotonic() - began)

            seed = derive_seed(settings.seed, settings.iteration, plan.name)
            task = await self._blocking(plan.load)
            env = await self._blocking(TeamEnv, task, self._sandbox, settings.environment, seed)
            try:
                team = _journaled(self._team, journal, settings, spent)
                result = await self._episode(plan, env, settings, team, seed)
                self._meter.settle()
                cost = env.evaluator.cpu_seconds + share.cpu_s, time.monotonic() - began
                start = await self._blocking(env.reset)  # known by now
                known = None
                if settings.remember is not None:
                    known = await self._blocking(known_data_set, env, start, result.visited)
                summary = _summary(plan, env, start, result, cost)
                summary = replace(summary, repeated=journal.repeated)
                return PlayedEpisode(summary, result.rows, known)
            finally:
                env.close()

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _episode(
        self, plan: PlannedEpisode, env: TeamEnv, settings: CollectSettings, team: Team, seed: int
    ) -> EpisodeResult:
        most = settings.style.config.experience_lines
        lines = await self._blocking(shown_lines, env, settings.seen, most)
        context = TurnContext(env, settings.style, self._blocking, lines)
        temperature = settings.rollout.temperature
        key = EpisodeKey(settings.run, settings.iteration, env.task.name, plan.name, temperature)
        return await EpisodePlayer(context, team, settings.rollout, key, seed).play()

    async def _blocking(self, function: Callable[..., T], /, *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)


def _journaled(
    team: Team, journal: Journal, settings: CollectSettings, spent: Callable[[], Spent]
) -> Team:
    rollout = settings.rollout

    def kept(policy: Policy, role: str) -> Policy:
        sampling = f"temperature {rollout.temperature}, {rollout.most_tokens(role)} tokens"
        return JournaledPolicy(policy, journal, sampling, spent)

    return Team(kept(team.data_scientist, DATA_SCIENTIST), kept(team.ml_engineer, ML_ENGINEER))


def _summary(
    plan: PlannedEpisode,
    env: TeamEnv,
    start: State,
    result: EpisodeResult,
    cost: tuple[float, float],
) -> EpisodeSummary:
    first, last = start.evaluated.holdout, result.last.evaluated.holdout
    assert first is not None and last is not None
    return EpisodeSummary(
        episode=plan.name,
        task=env.task.name,
        baseline=first.score,
        final=last.score,
        steps=len(result.steps),
        accepted=sum(step.outcome.accepted for step in result.steps),
        finished_early=any(step.outcome.verdict == "finished" for step in result.steps),
        tokens=sum(row.prompt_tokens + row.completion_tokens for row in result.rows),
        calls=len(result.rows),
        evaluations=env.evaluator.runs,
        cpu_s=round(cost[0], 3),
        wall_s=round(cost[1], 3),
        solution=result.last.spec.model_dump(mode="json"),
    )
