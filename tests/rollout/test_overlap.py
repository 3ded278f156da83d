"""Evaluations start while others are still sampled; what waits for nothing else is not kept
waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.kind import Kind
from marl_llm.environment import TeamEnv
from marl_llm.rollout.bench import Overlap, Paced, Server
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import EpisodePlayer, Team
from marl_llm.rollout.policies import Ask, PolicyInfo, ScriptedPolicy
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.turns import TurnContext
from marl_llm.sandbox import Sandbox
from marl_llm.serving import Completion
from tests.fixtures import CONFIG, small_task

REPLIES = ("propose_model est = GaussianNB()", "propose_model est = DecisionTreeClassifier()")


class After:
    """Says its replies in order, each once its event has happened."""

    info = PolicyInfo("after")

    def __init__(self, *replies: tuple[str, asyncio.Event | None]) -> None:
        self._replies = list(replies)

    async def reply(self, ask: Ask) -> Completion:
        text, event = self._replies.pop(0)
        if event is not None:
            await event.wait()
        return Completion(text, [], [], [], "stop", 0.0)


class Heard:
    """A policy that tells when it is asked, and answers once an event has happened."""

    info = PolicyInfo("heard")

    def __init__(self, asked: asyncio.Event, answer: asyncio.Event | None = None) -> None:
        self._asked, self._answer, self._policy = asked, answer, ScriptedPolicy()

    async def reply(self, ask: Ask) -> Completion:
        self._asked.set()
        if self._answer is not None:
            await self._answer.wait()
        return await self._policy.reply(ask)


async def _play(env: TeamEnv, team: Team, blocking: Any = None) -> int:
    config = RolloutConfig(proposals=2, implementations=1)
    context = TurnContext(env, PromptStyle(PromptConfig(instructions=False)), blocking)
    key = EpisodeKey("run", 0, env.task.name, "e", 1.0)
    player = EpisodePlayer(context, team, config, key, 0)
    return len((await asyncio.wait_for(player.play(), 120)).rows)


@pytest.fixture
def env(sandbox: Sandbox) -> Any:
    one = TeamEnv(small_task(Kind.binary), sandbox, CONFIG.model_copy(update={"steps": 1}))
    with closing(one):
        yield one


def test_a_proposal_is_implemented_while_the_next_one_is_sampled(env: TeamEnv) -> None:
    async def both() -> int:
        asked = asyncio.Event()
        scientist = After((REPLIES[0], None), (REPLIES[1], asked))  # waits for the first Engineer
        return await _play(env, Team(scientist, Heard(asked)))

    assert asyncio.run(both()) == 4


def test_the_reference_is_evaluated_while_the_engineer_is_writing(env: TeamEnv) -> None:
    async def both() -> int:
        judged = asyncio.Event()

        async def blocking(function: Callable[..., Any], /, *args: object) -> Any:
            done = await asyncio.to_thread(function, *args)
            if getattr(function, "__name__", "") == "judge":
                judged.set()
            return done

        scientist = After((REPLIES[0], None), (REPLIES[1], None))
        return await _play(env, Team(scientist, Heard(asyncio.Event(), judged)), blocking)

    assert asyncio.run(both()) == 4


def test_a_server_samples_so_many_replies_at_once_at_its_pace() -> None:
    async def timed() -> tuple[float, int]:
        server = Server(1000.0, sequences=2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(server.sample("x" * 50) for _ in range(4)))
        return loop.time() - began, server.characters

    seconds, characters = asyncio.run(timed())
    assert seconds >= 0.1 and characters == 200


def test_a_paced_policy_says_what_the_other_says() -> None:
    class Says:
        info = PolicyInfo("says")

        async def reply(self, ask: Ask) -> Completion:
            return Completion("text", [], [], [], "stop", 0.0)

    paced = Paced(Says(), Server(1e9))
    ask: Any = None
    assert asyncio.run(paced.reply(ask)).text == "text" and paced.info.name == "says"


def test_the_ratio_is_to_the_larger_part() -> None:
    seconds = {"both": 3.0, "model alone": 2.0, "evaluation alone": 2.5}
    assert Overlap(1.0, seconds).ratio == pytest.approx(1.2)
