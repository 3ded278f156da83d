"""Playing under a budget: look at the families of models, let the team improve on them, deliver.

In: an environment, a team, a budget. Out: what is delivered, and why the play ended. The screening and the evaluation
of its best families come first, so that there is something good to deliver at any moment; then the team plays, two
candidates at a time where there are cores, until it finishes, or time, steps or patience are used up. Nothing is
written here.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from marl_llm.base_model import local_model
from marl_llm.environment import State, TeamEnv
from marl_llm.environment.delivery import Tried
from marl_llm.environment.memory import rough_tokens
from marl_llm.environment.model_screen import ModelScreen
from marl_llm.proposals import PipelineSpec, ProposeModel
from marl_llm.rollout.episode import EpisodePlayer, StepRecord
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.session import ModelSession, token_counter
from marl_llm.rollout.turns import TurnContext
from marl_llm.solve.budget import Budget, Clock
from marl_llm.solve.teams import TeamChoice, TokenMeter, open_team

MOST_STEPS = 200
DEFAULT_PATIENCE = 20
AT_ONCE = max(1, min(2, os.cpu_count() or 1))
"""Candidates run at the same time."""
_FINAL_FITS = 2.5
"""Fits of a delivered model after the play, in fits on the development part: for the test part, and on all rows."""
_WRITING_S = 1.0
_BEST = 3


@dataclass(frozen=True)
class Limits:
    """What ends a play besides the team: a budget, a number of proposals, proposals in a row without a gain."""

    budget: Budget
    steps: int | None = None
    patience: int = DEFAULT_PATIENCE


@dataclass(frozen=True)
class Watchers:
    """Told of what happens: the screening, and each step of the line the play follows."""

    screened: Callable[[ModelScreen], None] = lambda screen: None
    stepped: Callable[[StepRecord], None] = lambda record: None


def budgeted(choice: TeamChoice, limits: Limits) -> TeamChoice:
    """The team with a recipe for a play under a budget: nothing is stopped early, candidates run `AT_ONCE`."""
    recipe = choice.recipe
    wall_s = min(recipe.sandbox.wall_s, limits.budget.fold_s)
    changes = {
        "environment": recipe.environment.model_copy(
            update={"steps": limits.steps or MOST_STEPS, "early_stop": False, "screen_s": wall_s}
        ),
        "rollout": recipe.rollout.model_copy(update={"proposals": AT_ONCE, "implementations": 1, "advance": "merged"}),
        "sandbox": recipe.sandbox.model_copy(update={"slots": AT_ONCE, "wall_s": wall_s}),
    }
    return TeamChoice(choice.name, recipe.model_copy(update=changes), choice.run)


class Play:
    """One play; `last` and `stopped` are right at any moment, so that an interrupted one can be delivered.

    Parameters
    ----------
    env : TeamEnv
    choice : TeamChoice
        Of `budgeted`.
    limits : Limits
    clock : Clock
    first : State
        The baseline, from `env.reset`.
    watchers : Watchers
    """

    def __init__(
        self, env: TeamEnv, choice: TeamChoice, limits: Limits, clock: Clock, first: State, watchers: Watchers
    ) -> None:
        self._env, self._choice, self._limits, self._clock, self._watchers = env, choice, limits, clock, watchers
        self.first = self.last = first
        self.stopped = "interrupted"
        self.steps = self.accepted = 0
        self._proposed: list[bool] = []
        self._quiet = 0
        self._kept: list[Tried] = []
        clock.fits_cpu_s = lambda: env.evaluator.cpu_seconds
        env.evaluator.enough = self._spent

    def look(self) -> None:
        """Screen the families and evaluate the best of them, as far as the budget goes. Blocks."""
        screen = self._env.screen(self._spent)
        self.last = self._env.look(self.last)
        self._watchers.screened(screen)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._kept = [one for one in pool.map(self._complete, self._env.within_reach()) if one is not None]

    def run(self, model: ModelSession | None, meter: TokenMeter, lines: tuple[str, ...] = ()) -> None:
        """Let the team play on from `last`."""
        if self._spent():
            self.stopped = "the budget was used up before the first proposal"
            return
        asyncio.run(self._play(model, meter, lines))

    def deliver(self) -> Tried:
        """What is handed over, chosen from all that was tried, on folds and hold-out together. Blocks."""
        self._env.evaluator.enough = None
        return self._env.deliver(self.last)

    def at_hand(self) -> Tried:
        """The best of what is evaluated already; nothing is run."""
        self._env.evaluator.enough = lambda: True
        return self._env.deliver(self.last)

    async def _play(self, model: ModelSession | None, meter: TokenMeter, lines: tuple[str, ...]) -> None:
        env, recipe = self._env, self._choice.recipe
        pool = ThreadPoolExecutor(AT_ONCE + 1, thread_name_prefix="evaluate")
        blocking: Any = functools.partial(asyncio.get_running_loop().run_in_executor, pool)
        count = token_counter(local_model(recipe.model.path)) if self._choice.served else rough_tokens
        context = TurnContext(env, recipe.prompts, blocking, count, lines)
        key = EpisodeKey("solve", 0, env.task.name, "solve", recipe.rollout.temperature)
        try:
            async with open_team(self._choice, model) as team:
                player = EpisodePlayer(
                    context, meter.watch(team), recipe.rollout, recipe.rewards, key, env.seed, self._step, self._ends
                )
                await player.play(start=self.last)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if self.stopped == "interrupted":
            finished = self.last.step < env.config.steps
            self.stopped = "the team finished" if finished else f"{env.config.steps} proposals were made"

    def _complete(self, spec: PipelineSpec) -> Tried | None:
        evaluated = None if self._spent() else self._env.evaluate(spec)
        return Tried(spec, evaluated) if evaluated is not None and evaluated.complete else None

    def _step(self, record: StepRecord) -> None:
        self.steps += record.after.step - record.before.step
        self.last = record.after
        self.accepted += record.outcome.accepted
        self._note(record)
        self._quiet = 0 if record.outcome.accepted else self._quiet + record.after.step - record.before.step
        self._watchers.stepped(record)

    @property
    def followed(self) -> float | None:
        """Share of the proposed models that are of one of the three best families of the screening; None without."""
        return sum(self._proposed) / len(self._proposed) if self._proposed else None

    def _note(self, record: StepRecord) -> None:
        action = record.outcome.suggestion.action
        if isinstance(action, ProposeModel) and not action.members:
            best = self._env.screen().ranked[:_BEST]
            self._proposed.append(action.estimator in {one.spec.estimator for one in best})

    def _ends(self, state: State) -> bool:
        if self._quiet >= self._limits.patience:
            self.stopped = f"{self._quiet} proposals in a row brought no significant gain"
            return True
        if self._spent():
            self.stopped = f"the budget of {self._limits.budget} was used up"
            return True
        return False

    def _spent(self) -> bool:
        return self._clock.left(self._reserve()) <= 0

    def _reserve(self) -> float:
        """Seconds that delivering will take: the final fits of as many models as a blend may have."""
        folds = self._env.config.cv_folds + 1
        fits = sorted((one.evaluated.cpu_seconds / folds for one in self._kept), reverse=True)
        return _WRITING_S + _FINAL_FITS * sum(fits[: self._env.config.blend_members])
