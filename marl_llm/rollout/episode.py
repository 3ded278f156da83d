"""One episode: at each state a group of proposals, a group of implementations for each distinct
one, then one branch goes on.

With groups of one it is a plain episode of the team, as `solve` and evaluation play it; with more
it is the tree that training learns from. Rows come out complete, with the facts that rewards are
computed from.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import Memory, State, StepOutcome, Suggestion
from marl_llm.proposals import Finish
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.outcomes import data_scientist_outcome, engineer_outcome, without_code
from marl_llm.rollout.policies import Policy
from marl_llm.rollout.rows import EpisodeKey, TurnPlace, state_hash, turn_rows
from marl_llm.rollout.tasks import Tasks
from marl_llm.rollout.turns import (
    Turn,
    TurnContext,
    data_scientist_turn,
    derive_seed,
    engineer_turn,
    episode_seed,
)
from marl_llm.trajectories import Row


@dataclass(frozen=True)
class Team:
    """The two policies that play together."""

    data_scientist: Policy
    ml_engineer: Policy


@dataclass
class Branch:
    """One proposal of a group, with the implementations made of it (empty where there was nothing
    to implement).
    """

    turn: Turn
    outcomes: list[StepOutcome] = field(default_factory=list)
    engineer_turns: list[Turn] = field(default_factory=list)

    @property
    def suggestion(self) -> Suggestion:
        """What the Data Scientist's turn yielded."""
        assert self.turn.suggestion is not None
        return self.turn.suggestion

    @property
    def asks(self) -> tuple[bool, object]:
        """What two branches have in common that ask for the same: to end or not, and the
        solution.
        """
        return self.suggestion.ends, self.suggestion.spec or self.suggestion.text


@dataclass(frozen=True)
class StepRecord:
    """What became of one step on the line the episode followed, and of what a merged episode tried
    beside it: for tables and reports.
    """

    outcome: StepOutcome
    before: State
    after: State
    beside: tuple[StepOutcome, ...] = ()


@dataclass(frozen=True)
class EpisodeResult:
    """A finished episode: its rows, its first and last state, the steps on the line it followed,
    and what came of each suggestion on that line and beside it, with the state it was made at.
    """

    rows: list[Row]
    first: State
    last: State
    steps: list[StepRecord]
    visited: list[tuple[State, StepOutcome]] = field(default_factory=list)


class EpisodePlayer:
    """Plays one episode.

    Parameters
    ----------
    context : TurnContext
        Environment and prompts.
    team : Team
        Who answers.
    config : RolloutConfig
        The tree, from the recipe.
    key : EpisodeKey
        Names for the rows.
    seed : int
        Everything random in the episode follows from it and from the task.
    on_step : callable, optional
        Told after each step on the followed line.
    stop : callable
        Asked before each step; True ends the episode there (a budget that is spent).
    """

    def __init__(
        self,
        context: TurnContext,
        team: Team,
        config: RolloutConfig,
        key: EpisodeKey,
        seed: int,
        on_step: Callable[[StepRecord], None] | None = None,
        stop: Callable[[State], bool] = lambda state: False,
    ) -> None:
        self._context, self._team, self._config = context, team, config
        self._key, self._on_step, self._stop = key, on_step, stop
        self._seed = episode_seed(seed, context.env.task)
        self._rows: list[Row] = []
        self._turns = 0

    async def play(self, memory: Memory | None = None, start: State | None = None) -> EpisodeResult:
        """Play until the team finishes or the steps are used up; `memory` of an earlier episode is
        carried on. With `start` the episode goes on from that state.
        """
        env = self._context.env
        first = state = start or await self._context.blocking(self._first_state, memory)
        steps: list[StepRecord] = []
        visited: list[tuple[State, StepOutcome]] = []
        while not state.finished and not self._stop(state):
            branches = await self._branches(state)
            chosen, outcome = self._choose(state, branches)
            for number, branch in enumerate(branches):
                self._record(state, number, branch, branch is chosen, outcome)
            visited += [(state, branch.outcomes[0]) for branch in branches]
            after = env.advance(state, outcome)
            after = replace(
                after, looked=after.looked or chosen.suggestion.looked
            )  # an equal proposal may not have
            others: dict[object, StepOutcome] = {}
            if self._config.advance == "merged":
                others = {
                    b.asks: b.outcomes[0]
                    for b in branches
                    if b.asks != chosen.asks and not b.suggestion.ends
                }
                after = env.remember(after, others.values())
            steps.append(StepRecord(outcome, state, after, tuple(others.values())))
            if self._on_step:
                self._on_step(steps[-1])
            state = after
        return EpisodeResult(self._rows, first, state, steps, visited)

    def _first_state(self, memory: Memory | None) -> State:
        """The baseline; in a share of the episodes the best of the screened models: which ones, the
        seed says.
        """
        env = self._context.env
        state = env.reset(memory)
        drawn = random.Random(derive_seed(self._seed, "looked")).random()
        return env.look(state) if drawn < self._config.looked else state

    async def _branches(self, state: State) -> list[Branch]:
        """The group of proposals at a state, each distinct one implemented and judged."""
        count = self._config.proposals
        if self._config.advance == "merged":  # each is a step
            count = min(count, self._context.env.config.steps - state.step)
        seeds = [derive_seed(self._seed, state.step, "d", d) for d in range(count)]
        branches: list[Branch] = []
        distinct: dict[object, Branch] = {}
        async with Tasks() as tasks:
            asked = [
                tasks.start(
                    data_scientist_turn(self._context, state, self._team.data_scientist, seed)
                )
                for seed in seeds
            ]
            implementing: list[asyncio.Task[None]] = []
            for turn in asked:  # their order numbers them; none waits for those after it
                branch = Branch(await turn)
                branches.append(branch)
                if branch.asks not in distinct:
                    number, distinct[branch.asks] = len(distinct), branch
                    implementing.append(tasks.start(self._implement(state, branch, number)))
            await asyncio.gather(*implementing)
        for branch in branches:
            branch.outcomes = distinct[branch.asks].outcomes
        return branches

    async def _implement(self, state: State, branch: Branch, number: int) -> None:
        """Have one proposal implemented as often as the recipe says, and judge each
        implementation.
        """
        judge, suggestion = self._context.env.judge, branch.suggestion
        if not suggestion.to_implement:
            branch.outcomes = [await self._context.blocking(judge, state, suggestion)]
            return
        seeds = [
            derive_seed(self._seed, state.step, "e", number, e)
            for e in range(self._config.implementations)
        ]

        async def implemented(seed: int) -> tuple[Turn, StepOutcome]:
            engineer = self._team.ml_engineer
            turn = await engineer_turn(self._context, state, suggestion, engineer, seed)
            judged = self._context.blocking(judge, state, suggestion, turn.implementation)
            return turn, await judged

        async with Tasks() as tasks:
            # What they are compared with is evaluated while they are still written.
            reference = tasks.start(self._context.blocking(judge, state, suggestion))
            done = await asyncio.gather(*(tasks.start(implemented(seed)) for seed in seeds))
            await reference
        branch.engineer_turns = [turn for turn, _ in done]
        branch.outcomes = [outcome for _, outcome in done]

    def _record(
        self, state: State, number: int, branch: Branch, followed: bool, taken: StepOutcome
    ) -> None:
        """Turn one branch into rows; `followed`: the episode goes on from its proposal, and from
        the outcome `taken`.

        Of equal proposals only the chosen one counts as followed, while the implementation that is
        followed may be recorded with the first of them.
        """
        looked = ("looked",) if state.looked else ()
        state_text = (state.code, state.memory.render(10**6), str(state.step), *looked)
        place = TurnPlace(
            state.step,
            DATA_SCIENTIST,
            f"{state.step}.d{number}",
            self._turns,
            state_hash(*state_text),
            followed,
        )
        self._turns += 1
        self._rows += turn_rows(
            self._key,
            place,
            self._team.data_scientist.info,
            branch.turn,
            state,
            without_code(branch.outcomes[0]),
            data_scientist_outcome(branch.outcomes),
        )
        for e, (turn, outcome) in enumerate(
            zip(branch.engineer_turns, branch.outcomes, strict=False)
        ):
            where = state_hash(*state_text, branch.suggestion.text)
            name = f"{state.step}.d{number}.e{e}"
            place = TurnPlace(state.step, ML_ENGINEER, name, self._turns, where, outcome is taken)
            self._turns += 1
            self._rows += turn_rows(
                self._key,
                place,
                self._team.ml_engineer.info,
                turn,
                state,
                outcome,
                engineer_outcome(outcome),
            )

    def _choose(self, state: State, branches: list[Branch]) -> tuple[Branch, StepOutcome]:
        """The branch and the outcome the episode goes on from."""
        rng = random.Random(derive_seed(self._seed, state.step, "advance"))
        accepted = [(b, o) for b in branches for o in b.outcomes if o.accepted]
        if self._config.advance != "sampled" and accepted:
            return max(accepted, key=lambda pair: pair[1].step_gain)
        going_on = [b for b in branches if not isinstance(b.suggestion.action, Finish)]
        if self._config.advance == "merged":  # ends where all of the group say so
            first = (going_on or branches)[0]
            return first, first.outcomes[0]
        pool = going_on if self._config.advance == "best" and going_on else branches
        branch = rng.choice(pool)
        return branch, rng.choice(branch.outcomes)
