"""Collecting: many episodes at once, each written whole when it ends. Killed and started again it
repeats no episode written and samples no completion again.

In: a list of planned episodes, an executor that plays them, settings. Out: parquet parts and one
summary line an episode; while episodes are unfinished, their journals. The model server, the
sandbox and the adapters are the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.environment.experience import ExperienceStore
from marl_llm.rollout.journal import EpisodeJournal, tidy
from marl_llm.rollout.planned import CollectSettings, Executor, PlannedEpisode, PlayedEpisode
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.sharing import Sharing
from marl_llm.rollout.summary import append_summary
from marl_llm.trajectories import TrajectoryWriter, finished_episodes


class Collector:
    """Plays planned episodes into a directory; `sharing` divides them among machines, by default
    all are played here.
    """

    def __init__(
        self,
        directory: Path,
        executor: Executor,
        settings: CollectSettings,
        sharing: Sharing | None = None,
    ) -> None:
        self._directory, self._executor, self._settings = directory, executor, settings
        self._sharing = sharing
        self._writer = TrajectoryWriter(directory)
        self._store = ExperienceStore(settings.remember) if settings.remember else None

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
            self._executor.close()
            progress.stop()
            tidy(self._directory, ())

    async def _one(self, plan: PlannedEpisode, gate: asyncio.Semaphore, progress: Progress) -> None:
        async with gate:
            if self._sharing and not await asyncio.to_thread(self._sharing.take, plan.name):
                return
            with EpisodeJournal(self._directory, plan.name) as journal:
                played = await self._executor.play(plan, self._settings, journal)
                self._save(played)
                journal.remove()
            if self._sharing:
                await asyncio.to_thread(self._sharing.finished, played.summary)
            await progress.episode(played.summary)

    def _save(self, played: PlayedEpisode) -> None:
        if not played.rows:
            raise UserError(
                f"{played.summary.task}: no prompt fits into the model's context; raise "
                "serving.max_model_len, or lower prompts.max_columns."
            )
        # Before the rows: what is played again is kept again, which changes nothing.
        if self._store is not None and played.known is not None:
            self._store.add(played.known)
        append_summary(self._directory, played.summary)
        self._writer.append(played.rows)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
