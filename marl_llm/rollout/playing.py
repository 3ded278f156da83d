"""Playing under a budget: look at the families of models, let the team improve on them, deliver.

In: an environment, a team, a budget. Out: what is delivered, and why the play ended. The screening
and the evaluation of its best families come first, so that there is something good to deliver at
any moment; then the team plays, two candidates at a time where there are cores, until time, steps
or patience are used up. A team that wants to finish earlier is asked again: while there is budget
it may think better of it, and what it tries beside the best enters the blend. Nothing is written
here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from heapq import nlargest
from typing import TypeVar

from marl_llm.agents.style import PromptStyle
from marl_llm.environment import State, TeamEnv
from marl_llm.environment.delivery import Tried, distinct
from marl_llm.environment.model_screen import LEFT_OUT, ModelScreen
from marl_llm.proposals import PipelineSpec, ProposeModel
from marl_llm.rollout.budget import Budget, Clock
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import EpisodePlayer, StepRecord, Team
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.token_meter import TokenMeter
from marl_llm.rollout.turns import TurnContext

T = TypeVar("T")

MOST_STEPS = 200
DEFAULT_PATIENCE = 100
_WISH = 6
"""Proposals without a gain that a team's wish to finish counts for."""
AT_ONCE = max(1, min(2, os.cpu_count() or 1))
"""Candidates run at the same time."""
_FINAL_FITS = 2.5
"""Fits of a delivered model after the play, in fits of a fold: one for the test part and one on all
rows. These have two to three times a fold's rows, but a blend hardly ever is of the most expensive
models.
"""
_WRITING_S = 1.0
_BEST = 3
_TO_COMPLETE = 0.4
"""Share of the time it finds that the screening leaves: its best families have to be evaluated and
fitted as well.
"""


@dataclass(frozen=True)
class Limits:
    """What ends a play besides the team: a budget, a number of proposals, proposals in a row
    without a gain.
    """

    budget: Budget
    steps: int | None = None
    patience: int = DEFAULT_PATIENCE


@dataclass(frozen=True)
class Watchers:
    """Told of what happens: the screening, what the team goes on from, and each step of the line
    the play follows.
    """

    screened: Callable[[ModelScreen], None] = lambda screen: None
    looked: Callable[[State], None] = lambda state: None
    stepped: Callable[[StepRecord], None] = lambda record: None


@dataclass(frozen=True)
class Players:
    """Who improves, and how they are asked.

    Attributes
    ----------
    opened : callable
        Opens the pair for one event loop.
    style : PromptStyle
    rollout : RolloutConfig
        Of a play under a budget: `AT_ONCE` proposals, merged.
    """

    opened: Callable[[], AbstractAsyncContextManager[Team]]
    style: PromptStyle
    rollout: RolloutConfig


class Play:
    """One play; `last` and `stopped` are right at any moment, so that an interrupted one can be
    delivered.

    No proposal and no fit is begun when the budget, less what delivering will take, is spent; a fit
    that runs by then ends by its own limit (`Budget.fold_s`).

    Parameters
    ----------
    env : TeamEnv
        Nothing is stopped early in it, and it has as many steps as `limits` ask for, or
        `MOST_STEPS`.
    limits : Limits
    clock : Clock
    first : State
        The baseline, from `env.reset`.
    watchers : Watchers
    """

    def __init__(
        self, env: TeamEnv, limits: Limits, clock: Clock, first: State, watchers: Watchers
    ) -> None:
        self._env, self._limits, self._clock, self._watchers = env, limits, clock, watchers
        self.first = self.last = first
        self.stopped = "interrupted"
        self.steps = self.accepted = 0
        self._screen: ModelScreen | None = None
        self._proposed: list[bool] = []
        self._quiet = 0
        self._kept: list[Tried] = []
        self._over = False
        self._wishes = self._wishes_in_a_row = 0
        env.delivers = False
        clock.fits_cpu_s = lambda: env.cpu_seconds
        env.evaluator.enough = self._spent
        env.evaluator.bound_fits(limits.budget.fold_s)

    def look(self) -> None:
        """Screen the families and evaluate the best of them, and of what an earlier memory holds,
        as far as the budget goes. Blocks; an interruption does not wait for what is running.
        """
        to_complete = _TO_COMPLETE * self._clock.left(_WRITING_S)

        def enough() -> bool:
            return self._spent() or self._clock.left(_WRITING_S) <= to_complete

        with _threads("look") as pool:
            self._screen = pool.submit(self._env.screen, enough).result()
            self.last = self._env.look(self.last, [])
            self._watchers.screened(self._screen)
            for waiting in [pool.submit(self._complete, spec) for spec in self._promising()]:
                waiting.result()
            self.last = self._env.look(self.last, self._kept)
            self._watchers.looked(self.last)

    def run(self, players: Players, meter: TokenMeter, lines: tuple[str, ...] = ()) -> None:
        """Let the players go on from `last`; `lines` is what they are told of other data sets."""
        if self._spent():
            self.stopped = (
                f"the budget of {self._limits.budget} was used up before the first proposal"
            )
            return
        asyncio.run(self._play(players, meter, lines))

    def deliver(self) -> Tried:
        """What is handed over, chosen from all that is evaluated, on folds and hold-out together.
        Right at any moment: nothing is run, nothing is waited for, and nothing is begun any more.
        """
        self._over = True
        return self._env.deliver(self.last)

    def remark(self, delivered: Tried) -> str:
        """Why the baseline is delivered, in one sentence; "" where something else is."""
        start = self.first.spec
        if any(one != start for one in delivered.spec.members or (delivered.spec,)):
            return ""
        found = self._screen.found if self._screen is not None else ()
        families = [one for one in found if one.spec != start]
        if any(one.spec != start for one in self._kept):
            why = "nothing that was tried is clearly better on folds and hold-out together"
        elif not families or any(
            one.score is not None or one.problem == LEFT_OUT for one in families
        ):
            why = f"the budget of {self._limits.budget} left no time to evaluate anything else"
        else:
            why = f"of {len(families)} other families of models none ran on this data"
        rule = ", with another decision rule for its labels" if delivered.spec.members else ""
        return f"The baseline is delivered{rule}: {why}."

    async def _play(self, players: Players, meter: TokenMeter, lines: tuple[str, ...]) -> None:
        env, rollout = self._env, players.rollout
        key = EpisodeKey("solve", 0, env.task.name, "solve", rollout.temperature)
        with _threads("evaluate") as pool:

            def blocking(function: Callable[..., T], /, *args: object) -> Awaitable[T]:
                return asyncio.get_running_loop().run_in_executor(pool, function, *args)

            context = TurnContext(env, players.style, blocking, lines)
            async with players.opened() as team:
                while self.stopped == "interrupted":
                    seed, asked_before = env.seed + self._wishes, self._wishes
                    player = EpisodePlayer(
                        context, meter.watch(team), rollout, key, seed, self._step, self._ends
                    )
                    await player.play(start=self.last)
                    if self._wishes > asked_before and self._impatient:
                        self.stopped = self._why_impatient()
                    elif self.last.step >= env.config.steps:
                        self.stopped = f"{env.config.steps} proposals were made"

    def _promising(self) -> list[PipelineSpec]:
        """What is evaluated before the team begins: the best families, then the best of an earlier
        solve.
        """
        earlier = self.last.memory.scored()[: self._env.config.blend_members]
        return distinct([*self._env.within_reach(), *(spec for spec, _ in earlier)])

    def _complete(self, spec: PipelineSpec) -> None:
        """Evaluate a solution whole, if there is time for that and for fitting it in the end."""
        folds = self._env.config.cv_folds + 1
        if self._clock.left(self._reserve() + self._expected_fit(spec) * (folds + _FINAL_FITS)) > 0:
            self._keep(spec)

    def _keep(self, spec: PipelineSpec) -> None:
        evaluated = self._env.evaluate(spec)
        if evaluated.complete:
            self._kept.append(Tried(spec, evaluated))

    def _expected_fit(self, spec: PipelineSpec) -> float:
        """Seconds of one fit, by the screening; 0 where it is unknown."""
        found = self._screen.found if self._screen is not None else ()
        return next(
            (one.seconds / self._env.config.screen_folds for one in found if one.spec == spec), 0.0
        )

    def _step(self, record: StepRecord) -> None:
        if record.outcome.suggestion.ends:
            self._wish(record)
            return
        new = record.after.memory.entries[len(record.before.memory.entries) :]
        self.steps += len(new)
        self.last = record.after
        self.accepted += record.outcome.accepted
        for entry in new:
            if entry.spec is not None and entry.score is not None:
                self._keep(entry.spec)  # known: it was judged just now
        self._note(record)
        self._quiet = 0 if record.outcome.accepted else self._quiet + len(new)
        self._wishes_in_a_row = 0 if record.outcome.accepted else self._wishes_in_a_row
        self._watchers.stepped(record)

    def _wish(self, record: StepRecord) -> None:
        """The team wants to finish: nothing was tried, and it is asked again from the same
        state.
        """
        self._wishes += 1
        self._wishes_in_a_row += 1
        self.last = record.before

    @property
    def _impatient(self) -> bool:
        return self._quiet + _WISH * self._wishes_in_a_row >= self._limits.patience

    def _why_impatient(self) -> str:
        """Proposals and wishes since the last gain."""
        asked = (
            f"the team wanted to finish {self._wishes_in_a_row} times"
            if self._wishes_in_a_row
            else ""
        )
        quiet = (
            f"{self._quiet} proposals in a row brought no significant gain" if self._quiet else ""
        )
        return " and ".join(part for part in (quiet, asked) if part)

    @property
    def followed(self) -> float | None:
        """Share of the proposed models that are of one of the three best families of the screening;
        None without.
        """
        return sum(self._proposed) / len(self._proposed) if self._proposed else None

    def _note(self, record: StepRecord) -> None:
        action = record.outcome.suggestion.action
        if isinstance(action, ProposeModel) and not action.members:
            best = self._env.screen().ranked[:_BEST]
            self._proposed.append(action.estimator in {one.spec.estimator for one in best})

    def _ends(self, state: State) -> bool:
        if self._impatient:
            self.stopped = self._why_impatient()
            return True
        if self._spent():
            self.stopped = f"the budget of {self._limits.budget} was used up"
            return True
        return False

    def _spent(self) -> bool:
        return self._over or self._clock.left(self._reserve()) <= 0

    def _reserve(self) -> float:
        """Seconds that delivering will take: the final fits of as many models as a blend may
        have.
        """
        folds, of = self._env.config.cv_folds + 1, self._limits.budget.of
        seconds = (
            one.evaluated.cpu_seconds if of == "cpu" else one.evaluated.seconds
            for one in self._kept
        )
        return (
            _WRITING_S
            + _FINAL_FITS * sum(nlargest(self._env.config.blend_members, seconds)) / folds
        )


@contextmanager
def _threads(name: str) -> Iterator[ThreadPoolExecutor]:
    """A pool that nobody waits for: what still runs when it is left ends with the budget, or with
    the sandbox.
    """
    pool = ThreadPoolExecutor(AT_ONCE + 1, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
