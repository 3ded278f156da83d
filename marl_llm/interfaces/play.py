"""One step of an episode, played call by call from outside.

The turns are the rollout's own; here they stop at each question until the caller answers it. A
coroutine needs no event loop for that, so this runs in a notebook, in a Ray actor, anywhere.
Blocking work is done on the spot.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import coroutine
from typing import TypeVar

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.environment import State, StepOutcome, TeamEnv
from marl_llm.environment.memory import TokenCounter
from marl_llm.rollout.policies import Ask, PolicyInfo
from marl_llm.rollout.turns import (
    CallRecord,
    TurnContext,
    data_scientist_turn,
    derive_seed,
    engineer_turn,
    episode_seed,
)
from marl_llm.serving import Completion

T = TypeVar("T")


@coroutine
def _yielded(ask: Ask) -> Generator[Ask, Completion, Completion]:
    return (yield ask)


class _Outside:
    """The policy that hands each question out and waits for the answer."""

    info = PolicyInfo("outside")

    async def reply(self, ask: Ask) -> Completion:
        return await _yielded(ask)


async def _here(function: Callable[..., T], *args: object) -> T:
    return function(*args)


def turn_context(env: TeamEnv, prompts: PromptConfig, count: TokenCounter) -> TurnContext:
    """What the rollout's turns need, with blocking work done on the spot."""
    return TurnContext(env, PromptStyle(prompts, count), _here)


async def _step(
    context: TurnContext, state: State, seed: int
) -> tuple[StepOutcome, list[CallRecord]]:
    env, policy = context.env, _Outside()
    seed = episode_seed(seed, env.task)
    scientist = await data_scientist_turn(
        context, state, policy, derive_seed(seed, state.step, "d", 0)
    )
    suggestion = scientist.suggestion
    assert suggestion is not None
    if not suggestion.to_implement:
        return env.judge(state, suggestion), scientist.calls
    engineer = await engineer_turn(
        context, state, suggestion, policy, derive_seed(seed, state.step, "e", 0, 0)
    )
    return env.judge(state, suggestion, engineer.implementation), scientist.calls


class StepPlay:
    """A step being played: `ask` is the open question until `outcome` is there, with the Data
    Scientist's `calls`.

    Seeds of the questions are those that a rollout of one branch with the episode's `seed` sends to
    the server.
    """

    def __init__(self, context: TurnContext, state: State, seed: int) -> None:
        self._coroutine = _step(context, state, seed)
        self.ask: Ask | None = None
        self.outcome: StepOutcome | None = None
        self.calls: list[CallRecord] = []
        self._go_on(None)

    def answer(self, text: str) -> None:
        """Answer the open question; goes on to the next one, or to the outcome. Blocks while code
        runs.
        """
        self._go_on(Completion(text, [], [], [], "stop", 0.0))

    def _go_on(self, completion: Completion | None) -> None:
        try:
            self.ask = self._coroutine.send(completion)
        except StopIteration as end:
            self.ask, (self.outcome, self.calls) = None, end.value
