"""One agent's turn: its calls until it yields an action.

The Data Scientist may analyse a few times before it proposes, and correct an invalid action; the
Engineer may repair its code after an error. Nothing here decides rewards; the calls are kept as
they were sampled.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from marl_llm.agents.prompts import Heard, Message, Situation, functions_at_hand, proposal_text
from marl_llm.agents.reply import UnreadableReply, read_code
from marl_llm.agents.style import PromptStyle
from marl_llm.core.forgiven import Forgiven
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import Evaluated, Implementation, State, Suggestion, TeamEnv
from marl_llm.environment.memory import TokenCounter
from marl_llm.proposals import Analyze, PipelineSpec
from marl_llm.proposals.codegen import engineer_start
from marl_llm.rollout.policies import Ask, Policy
from marl_llm.sandbox import Stage, Status
from marl_llm.serving import Completion, PromptTooLong
from marl_llm.tasks import Task

T = TypeVar("T")
MOST_LEFT = 8
"""Steps left that a prompt tells of: so many, or more."""
_TOO_MANY = "too many analyses in one turn: answer with another action"
SCREENED_LINES = 5
"""Families of the screening in the prompts after it."""


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**31) that depends on all parts and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "little") & 0x7FFFFFFF


def episode_seed(seed: int, task: Task) -> int:
    """What all draws of an episode follow from: two data sets given the same `seed` are played with
    other draws.
    """
    return derive_seed(seed, task.key)


@dataclass(frozen=True)
class CallRecord:
    """One model call as it was: what was sent, what was sampled, the seed, the code it led to
    (Engineer only), what its reader forgave, whether it was an action that was refused and asked
    for again (Data Scientist only), and why it was invalid or its code failed.
    """

    messages: list[Message]
    completion: Completion
    seed: int
    code: str = ""
    evaluation_s: float = 0.0
    forgiven: tuple[Forgiven, ...] = ()
    refused: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Turn:
    """A finished turn of either role: its calls, and what it yielded."""

    calls: list[CallRecord] = field(default_factory=list)
    suggestion: Suggestion | None = None
    implementation: Implementation | None = None


class RunBlocking(Protocol):
    """Runs a blocking call off the event loop."""

    def __call__(self, function: Callable[..., T], /, *args: object) -> Awaitable[T]:
        """What the call returns."""
        ...


@dataclass(frozen=True)
class TurnContext:
    """What every turn needs: the environment, how prompts are written, a function to run blocking
    work, and what worked on similar data sets.
    """

    env: TeamEnv
    style: PromptStyle
    run_blocking: RunBlocking | None = None
    experience: tuple[str, ...] = ()

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking call off the event loop."""
        if self.run_blocking is None:
            return await asyncio.to_thread(function, *args)
        return await self.run_blocking(function, *args)

    def situation(self, state: State) -> Situation:
        """What there is to tell at this state."""
        scores = state.evaluated.cv
        assert scores is not None
        return Situation(
            card=self.env.card,
            spec=state.spec,
            code=state.code,
            score=scores.score,
            raw=scores.raw,
            memory=state.memory,
            steps_left=min(MOST_LEFT, self.env.config.steps - state.step),
            models=self.env.screen().lines(SCREENED_LINES) if state.looked else (),
            experience=self.experience,
            draw=derive_seed(
                self.env.seed, self.env.task.key, state.code, state.step, len(state.memory.entries)
            ),
        )


async def data_scientist_turn(
    context: TurnContext, state: State, policy: Policy, seed: int
) -> Turn:
    """Play one turn of the Data Scientist at `state`; `seed` is the turn's own.

    An analysis is answered, an invalid action is refused with the sentence that says what is wrong,
    as often as the recipe allows; a redundant one is valid. The turn yields its last action, and
    what that comes to is the turn's reward, which all its calls share; a refused call pays for
    itself besides (see the component `refusal`).
    """
    env, now = context.env, context.situation(state)
    calls: list[CallRecord] = []
    heard: list[Heard] = []
    analyses, corrections = env.config.analyses, env.config.corrections
    suggestion, looked = Suggestion(""), False
    while True:
        messages = context.style.data_scientist(now, heard, may_analyze=analyses > 0)
        ask = Ask(
            DATA_SCIENTIST, messages, derive_seed(seed, len(calls)), now, may_analyze=analyses > 0
        )
        try:
            completion = await policy.reply(ask)
        except PromptTooLong as error:
            unasked = Suggestion("", problem=str(error), looked=looked)
            return Turn(calls, suggestion if suggestion.problem else unasked)
        if suggestion.problem:
            calls[-1], corrections = replace(calls[-1], refused=True), corrections - 1
        suggestion = replace(env.read(state, completion.text), looked=looked)
        action = suggestion.action
        if isinstance(action, Analyze) and not analyses:
            suggestion = replace(
                suggestion, text=suggestion.text[:120], action=None, problem=_TOO_MANY
            )
        record = CallRecord(
            messages, completion, ask.seed, forgiven=suggestion.forgiven, problem=suggestion.problem
        )
        told = suggestion.problem
        if isinstance(action, Analyze) and (analyses or not corrections):
            told, seconds = await context.blocking(
                _timed_analysis, env, state, action, context.style.count
            )
            record, looked = (
                replace(record, evaluation_s=seconds),
                looked or action.query == "models",
            )
            analyses -= 1
        calls.append(record)
        over = not corrections if suggestion.problem else not isinstance(action, Analyze)
        if over:
            return Turn(
                calls,
                await context.blocking(env.resolve, state, replace(suggestion, looked=looked)),
            )
        heard.append(Heard(completion.text, told, refused=bool(suggestion.problem)))


def _timed_analysis(
    env: TeamEnv, state: State, query: Analyze, count: TokenCounter
) -> tuple[str, float]:
    """The answer, and its processor time, seconds: of a screening that of all its fits, also where
    they were known.
    """
    before = env.evaluator.cpu_seconds
    told = env.analyze(state, query, count)
    if query.query == "models":
        return told, env.screen().seconds
    return told, env.evaluator.cpu_seconds - before


async def engineer_turn(
    context: TurnContext, state: State, suggestion: Suggestion, policy: Policy, seed: int
) -> Turn:
    """Play one turn of the Engineer for `suggestion` at `state`; `seed` is the turn's own."""
    env, action, wanted = context.env, suggestion.action, suggestion.spec
    assert action is not None and wanted is not None
    shown, helpers = engineer_start(wanted, state.spec)
    now = replace(context.situation(state), code=shown, at_hand=functions_at_hand(wanted))
    messages = context.style.engineer(now, proposal_text(suggestion.text, wanted), action, wanted)
    calls: list[CallRecord] = []
    implementation = Implementation("", Evaluated(Status.error, Stage.none, "nothing was written"))
    for call in range(env.config.repairs + 1):
        ask = Ask(ML_ENGINEER, messages, derive_seed(seed, call), now, wanted=wanted)
        try:
            completion = await policy.reply(ask)
        except PromptTooLong:
            break
        implementation, forgiven = await _run_reply(
            context, state, completion.text, shown, helpers, wanted
        )
        result = implementation.evaluated
        problem = "" if result.ok else result.error or str(result.status)
        calls.append(
            CallRecord(
                messages,
                completion,
                ask.seed,
                implementation.code,
                result.seconds,
                forgiven,
                problem=problem,
            )
        )
        if result.ok:
            break
        messages = [*messages, _assistant(completion.text), _user(context.style.repair(problem))]
    return Turn(calls, implementation=implementation)


async def _run_reply(
    context: TurnContext, state: State, reply: str, shown: str, helpers: str, wanted: PipelineSpec
) -> tuple[Implementation, tuple[Forgiven, ...]]:
    try:
        written = read_code(reply, shown)
    except UnreadableReply as error:
        return Implementation("", Evaluated(Status.error, Stage.none, str(error))), ()
    code = f"{helpers}\n\n\n{written.code}" if helpers else written.code
    return Implementation(
        code, await context.blocking(context.env.run, code, state.evaluated, wanted)
    ), written.forgiven


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}
