"""Conversations of the scripted pair on procedural tasks: what the embedded model is pretrained on.

Cards come from real procedural frames; the rest of a situation (solution, scores, memory) is drawn at random along a
walk of valid changes, so no model is fitted. Answers are undirected, and a set share of the Engineer's is wrong on
purpose: the embedded model must know the language, not the trade.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from marl_llm.agents.edits import line_edits
from marl_llm.agents.prompts import (
    Message,
    PromptConfig,
    Situation,
    answer_message,
    data_scientist_prompt,
    engineer_prompt,
    repair_message,
)
from marl_llm.agents.scripted import NO_CHANGE, corrupt, random_action
from marl_llm.environment.analysis import AnalysisView, answer
from marl_llm.environment.card import TaskCard, describe_task
from marl_llm.environment.memory import Memory, MemoryEntry, Verdict
from marl_llm.proposals import Analyze, InvalidAction, PipelineSpec, apply, baseline, canonical, generate_code
from marl_llm.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.tasks import Task
from marl_llm.tasks.procedural import procedural_task

TINY_PROMPTS = PromptConfig(
    instructions=False, names=False, memory_tokens=120, engineer_memory_tokens=0, max_columns=40
)
"""The compact prompts the embedded model reads; recipes for it use the same values."""

CHANGES = ("propose_model", "tune", "engineer_features")
HABITS = {"propose_model": 0.34, "tune": 0.21, "engineer_features": 0.31, "analyze": 0.04, "finish": 0.1}
"""How often each action is imitated: near the scripted pair's weights, with more `finish`, so it can be learned."""


@dataclass(frozen=True)
class Example:
    """One conversation; only the last message is learned. `wanted` is the right code of an Engineer's example."""

    role: str
    messages: list[Message]
    wanted: str = ""
    extra_answers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class World:
    """A procedural task with its card: the raw material of many situations."""

    task: Task
    card: TaskCard


def worlds(count: int, first_seed: int) -> list[World]:
    """Procedural tasks with seeds `first_seed`, `first_seed + 1`, ..."""
    tasks = (procedural_task(first_seed + i) for i in range(count))
    return [World(task, describe_task(task)) for task in tasks]


def _walk(rng: random.Random, card: TaskCard) -> tuple[PipelineSpec, Memory]:
    """A solution some valid changes away from the baseline, and a made-up memory of how it came about."""
    spec, memory = baseline(card.kind), Memory()
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4, 5))):
        action = random_action(rng, card, spec, CHANGES)
        try:
            after = apply(action, spec, card.context())  # pyright: ignore[reportArgumentType]
        except InvalidAction:
            continue
        if after == spec:
            continue
        verdicts = (Verdict.accepted, Verdict.no_gain, Verdict.no_gain, Verdict.failed, Verdict.not_as_asked)
        verdict = rng.choice(verdicts)
        gain = abs(rng.gauss(0, 0.06)) if verdict is Verdict.accepted else rng.gauss(-0.02, 0.04)
        memory = memory.add(MemoryEntry(canonical(action), verdict, gain, after))
        if verdict is Verdict.accepted:
            spec = after
    return spec, memory


def _raw_metrics(rng: random.Random, card: TaskCard, score: float) -> dict[str, float]:
    def value(name: str) -> float:
        if name.startswith("neg_") and not card.class_shares:
            return -rng.lognormvariate(1, 2)
        return -rng.uniform(0.2, 1.4) if name.startswith("neg_") else max(-0.3, min(0.99, score + rng.gauss(0, 0.1)))

    return {name: value(name) for name in card.metrics}


def situation(rng: random.Random, world: World) -> Situation:
    """A made-up moment of an episode on a real card."""
    spec, memory = _walk(rng, world.card)
    score = rng.uniform(0.05, 0.98)
    raw = _raw_metrics(rng, world.card, score)
    return Situation(world.card, spec, generate_code(spec), score, raw, memory, rng.randint(1, 8))


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _fake_errors(rng: random.Random, card: TaskCard) -> str:
    if card.class_shares:
        return "recall " + " ".join(f"{c} {rng.random():.2f}" for c in range(min(6, len(card.class_shares))))
    values = sorted(rng.gauss(0, 5) for _ in range(5))
    return "residuals " + " ".join(f"{v:.2g}" for v in values)


def data_scientist_example(rng: random.Random, world: World, answers: int = 1) -> Example:
    """A Data Scientist's turn: a prompt, perhaps one analysis, and an undirected action.

    `answers - 1` further independent actions for the same prompt are drawn too, to spare prompt tokens in training.
    """
    now = situation(rng, world)
    messages = [_user(data_scientist_prompt(now, TINY_PROMPTS))]
    if rng.random() < 0.06:
        query = random_action(rng, world.card, now.spec, ("analyze",))
        assert isinstance(query, Analyze)
        told = _fake_errors(rng, world.card) if query.query == "errors" else answer(query, AnalysisView(world.task))
        messages += [_assistant(canonical(query)), _user(answer_message(told))]
        kinds: tuple[str, ...] = (*CHANGES, "finish")
    else:
        kinds = tuple(HABITS)
    drawn = rng.choices(kinds, [HABITS[kind] for kind in kinds], k=answers)
    actions = [canonical(random_action(rng, world.card, now.spec, (kind,))) for kind in drawn]
    return Example(DATA_SCIENTIST, [*messages, _assistant(actions[0])], extra_answers=actions[1:])


def engineer_example(rng: random.Random, world: World, error_rate: float) -> Example:
    """An Engineer's turn: a proposal, and line edits that carry it out (wrong in a share `error_rate`)."""
    while True:
        now = situation(rng, world)
        action = random_action(rng, world.card, now.spec, CHANGES)
        try:
            after = apply(action, now.spec, world.card.context())  # pyright: ignore[reportArgumentType]
        except InvalidAction:
            continue
        if after != now.spec:
            break
    right = generate_code(after)
    messages = [_user(engineer_prompt(now, canonical(action), TINY_PROMPTS))]
    if rng.random() < 0.1:
        messages += _failed_attempt(rng, now.code, right, world.card)
    wrong = rng.random() < error_rate
    code = corrupt(rng, now.code, right, world.card) if wrong else right
    return Example(ML_ENGINEER, [*messages, _assistant(line_edits(now.code, code) or NO_CHANGE)], wanted=right)


def _failed_attempt(rng: random.Random, old: str, right: str, card: TaskCard) -> list[Message]:
    attempt = line_edits(old, corrupt(rng, old, right, card)) or NO_CHANGE
    line = rng.randint(2, 12)
    errors = (
        f"SyntaxError: '(' was never closed (line {line})",
        f"SyntaxError: invalid syntax (line {line})",
        f"NameError: name 'model' is not defined (line {line})",
        f"NameError: name 'pre' is not defined (line {line})",
        f"ValueError: A given column is not a column of the dataframe (line {line})",
        "the reply holds neither line edits nor a build_pipeline()",
    )
    return [_assistant(attempt), _user(repair_message(rng.choice(errors)))]


def examples(
    seed: int, pool: list[World], roles: tuple[str, ...], error_rate: float, answers: int
) -> Iterator[Example]:
    """An endless, seeded stream of examples; `roles` is cycled through, so repeat a role to weight it."""
    rng, i = random.Random(seed), 0
    while True:
        world = rng.choice(pool)
        if roles[i % len(roles)] == DATA_SCIENTIST:
            yield data_scientist_example(rng, world, answers)
        else:
            yield engineer_example(rng, world, error_rate)
        i += 1
