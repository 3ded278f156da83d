"""Who answers for a role: a served model with its adapter, or the scripted agent. One method,
`reply`.

A policy sees the chat messages; the scripted ones also see the typed situation behind them, since
they read no text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from marl_llm.agents.answers import EngineerAnswer
from marl_llm.agents.prompts import Message, Situation
from marl_llm.agents.scripted import ScriptedDataScientist, ScriptedEngineer, Space
from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.proposals import PipelineSpec, canonical
from marl_llm.serving import Completion, Sampler


@dataclass(frozen=True)
class Ask:
    """One call: the messages, a seed, and the situation they were rendered from (`wanted`: the
    Engineer's target).
    """

    role: str
    messages: list[Message]
    seed: int
    situation: Situation
    wanted: PipelineSpec | None = None
    may_analyze: bool = False


@dataclass(frozen=True)
class PolicyInfo:
    """Which policy sampled: adapter name ("scripted" for the scripted pair), its version, and the
    hash of its weights.
    """

    name: str
    version: int = 0
    sha256: str = ""


class Policy(Protocol):
    """Answers one role's calls."""

    @property
    def info(self) -> PolicyInfo:
        """Which policy this is."""
        ...

    async def reply(self, ask: Ask) -> Completion:
        """Sample one reply."""
        ...


class ModelPolicy:
    """A model: samples from the adapter (or the base model) named in `info`."""

    def __init__(
        self, client: Sampler, info: PolicyInfo, *, temperature: float, max_tokens: int
    ) -> None:
        self._client, self._info = client, info
        self._temperature, self._max_tokens = temperature, max_tokens

    @property
    def info(self) -> PolicyInfo:
        """Adapter name, version and hash."""
        return self._info

    async def reply(self, ask: Ask) -> Completion:
        """Sample one reply."""
        return await self._client.sample(
            self._info.name,
            ask.messages,
            temperature=self._temperature,
            max_tokens=self._max_tokens,
            seed=ask.seed,
        )


class ScriptedPolicy:
    """The scripted agent of either role; the Engineer is wrong in a share `error_rate` of its
    answers.

    With `may_finish` False the Data Scientist uses up all steps; `space` is what it draws from,
    `finish` the share of its actions that finish, `answer` how the Engineer answers.
    """

    def __init__(
        self,
        error_rate: float = 0.0,
        *,
        may_finish: bool = True,
        space: Space = "core",
        finish: float | None = None,
        answer: EngineerAnswer = "edits",
    ) -> None:
        self._error_rate, self._may_finish = error_rate, may_finish
        self._space: Space = space
        self._finish = finish
        self._answer: EngineerAnswer = answer

    @property
    def info(self) -> PolicyInfo:
        """Always "scripted"."""
        return PolicyInfo("scripted")

    async def reply(self, ask: Ask) -> Completion:
        """Answer from the situation; no tokens are sampled."""
        now = ask.situation
        if ask.role == DATA_SCIENTIST:
            agent = ScriptedDataScientist(ask.seed, self._may_finish, self._space, self._finish)
            solutions = now.memory.solutions()
            action = agent.act(now.card, now.spec, may_analyze=ask.may_analyze, solutions=solutions)
            return _text(canonical(action))
        assert ask.wanted is not None
        engineer = ScriptedEngineer(ask.seed, self._error_rate, self._answer)
        return _text(engineer.answer(now.card, now.code, ask.wanted))


def _text(text: str) -> Completion:
    return Completion(text, [], [], [], "stop", 0.0)
