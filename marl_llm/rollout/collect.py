"""Collecting: many episodes at once, each written whole when it ends. Killed and started again it
repeats no episode written and samples no completion again.

In: a list of planned episodes, a team, settings. Out: parquet parts and one summary line an
episode; while episodes are unfinished, their journals. The model server, the sandbox and the
adapters are the caller's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from marl_llm.agents.style import PromptStyle
from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import EnvironmentConfig, State, TeamEnv
from marl_llm.environment.experience import (
    NOTHING,
    Experience,
    ExperienceStore,
    known_data_set,
    shown_lines,
)
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import EpisodePlayer, EpisodeResult, Team
from marl_llm.rollout.journal import EpisodeJournal, JournaledPolicy, Spent, tidy
from marl_llm.rollout.meter import Meter, Share
from marl_llm.rollout.policies import Policy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.summary import EpisodeSummary, append_summary
from marl_llm.rollout.turns import TurnContext, derive_seed
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from marl_llm.trajectories import TrajectoryWriter, finished_episodes

T = TypeVar("T")

logger = logging.getLogger(__name__)

_SETTLE_EVERY_S = 5.0
"""How exact the CPU time in a journal is; reading the clock of a server's processes takes some
milliseconds.
"""


@dataclass(frozen=True)
class PlannedEpisode:
    """An episode to play: its name, unique in the directory, and how to load its task."""

    name: str
    load: Callable[[], Task]


@dataclass(frozen=True)
class CollectSettings:
    """The sections of the recipe that collecting needs, and the run's names.

    `seen` is what the agents may be told of other data sets; `remember` the store that the episodes
    fill, None for none (evaluation).
    """

    run: str
    iteration: int
    seed: int
    environment: EnvironmentConfig
    style: PromptStyle
    rollout: RolloutConfig
    seen: Experience = NOTHING
    remember: Path | None = None


class Collector:
    """Plays planned episodes into a directory; `meter` divides the CPU time they share, by default
    this process's.
    """

    def __init__(
        self,
        directory: Path,
        team: Team,
        sandbox: Sandbox,
        slots: int,
        settings: CollectSettings,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._directory, self._team, self._sandbox, self._settings = (
            directory,
            team,
            sandbox,
            settings,
        )
        self._writer = TrajectoryWriter(directory)
        self._store = ExperienceStore(settings.remember) if settings.remember else None
        # Equal code waits in its thread for the run of the first; slots are not to wait for those.
        group = 1 + settings.rollout.implementations
        self._pool = ThreadPoolExecutor(
            max_workers=2 * slots * group + 2, thread_name_prefix="evaluate"
        )

    async def collect(self, plans: Sequence[PlannedEpisode], progress: Progress) -> None:
        """Play every planned episode that is not finished yet."""
        done = finished_episodes(self._directory)
        tidy(self._directory, done)
        missing = [plan for plan in plans if plan.name not in done]
        await progress.start(total=len(plans), done=len(plans) - len(missing))
        gate = asyncio.Semaphore(self._settings.rollout.episodes_at_once)
        try:
            async with asyncio.TaskGroup() as group:
                for plan in missing:
                    group.create_task(self._one(plan, gate, progress))
        except ExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            progress.stop()
            tidy(self._directory, ())

    async def _one(self, plan: PlannedEpisode, gate: asyncio.Semaphore, progress: Progress) -> None:
        async with gate:
            with (
                self._meter.episode() as share,
                EpisodeJournal(self._directory, plan.name) as journal,
            ):
                await self._play(plan, progress, share, journal)

    async def _play(
        self, plan: PlannedEpisode, progress: Progress, share: Share, journal: EpisodeJournal
    ) -> None:
        began = time.monotonic() - journal.spent.wall_s
        share.cpu_s = max(share.cpu_s, journal.spent.cpu_s)  # both have the server's start in them
        if journal.kept:
            logger.info("%s goes on from %d replies sampled before", plan.name, len(journal.kept))

        def spent() -> Spent:
            self._meter.settle(_SETTLE_EVERY_S)
            return Spent(share.cpu_s, time.monotonic() - began)

        seed = derive_seed(self._settings.seed, self._settings.iteration, plan.name)
        task = await self._blocking(plan.load)
        env = await self._blocking(TeamEnv, task, self._sandbox, self._settings.environment, seed)
        try:
            most = self._settings.style.config.experience_lines
            lines = await self._blocking(shown_lines, env, self._settings.seen, most)
            result = await self._player(
                plan, env, seed, lines, self._journaled(journal, spent)
            ).play()
            self._meter.settle()
            cost = env.evaluator.cpu_seconds + share.cpu_s, time.monotonic() - began
            start = await self._blocking(env.reset)  # known by now
            summary = self._summary(plan, env, start, result, cost)
            if (
                self._store
            ):  # before the rows: what is played again is kept again, which changes nothing
                self._store.add(await self._blocking(known_data_set, env, start, result.visited))
        finally:
            env.close()
        self._save(summary, result)
        journal.remove()
        await progress.episode(summary)

    def _journaled(self, journal: EpisodeJournal, spent: Callable[[], Spent]) -> Team:
        rollout = self._settings.rollout

        def kept(policy: Policy, role: str) -> Policy:
            sampling = f"temperature {rollout.temperature}, {rollout.most_tokens(role)} tokens"
            return JournaledPolicy(policy, journal, sampling, spent)

        return Team(
            kept(self._team.data_scientist, DATA_SCIENTIST),
            kept(self._team.ml_engineer, ML_ENGINEER),
        )

    def _player(
        self, plan: PlannedEpisode, env: TeamEnv, seed: int, lines: tuple[str, ...], team: Team
    ) -> EpisodePlayer:
        settings = self._settings
        context = TurnContext(env, settings.style, self._blocking, lines)
        key = EpisodeKey(
            settings.run, settings.iteration, env.task.name, plan.name, settings.rollout.temperature
        )
        return EpisodePlayer(context, team, settings.rollout, key, seed)

    def _summary(
        self,
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

    def _save(self, summary: EpisodeSummary, result: EpisodeResult) -> None:
        if not result.rows:
            raise UserError(
                f"{summary.task}: no prompt fits into the model's context; raise "
                "serving.max_model_len, or lower prompts.max_columns."
            )
        append_summary(self._directory, summary)
        self._writer.append(result.rows)

    async def _blocking(self, function: Callable[..., T], /, *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
