"""Conversations of the scripted pair on procedural tasks: what the embedded model is pretrained on.

Cards come from real procedural frames; the rest of a situation (solution, scores, memory) is drawn
at random along a walk of valid changes, so no model is fitted. Answers are undirected, and a set
share of the Engineer's is wrong on purpose: the embedded model must know the language, not the
trade.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypedDict

from marl_llm.agents.edits import line_edits
from marl_llm.agents.prompts import (
    Message,
    PromptConfig,
    Situation,
    answer_message,
    data_scientist_prompt,
    engineer_prompt,
    functions_at_hand,
    proposal_text,
    repair_message,
)
from marl_llm.agents.scripted import NO_CHANGE, corrupt, random_action
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.core.verdict import Verdict
from marl_llm.environment.analysis import AnalysisView, answer
from marl_llm.environment.blend import POWERS
from marl_llm.environment.card import TaskCard, describe_task
from marl_llm.environment.memory import Memory, MemoryEntry
from marl_llm.environment.model_screen import ModelScreen, Screened
from marl_llm.proposals import (
    Action,
    Analyze,
    Finish,
    InvalidAction,
    PipelineSpec,
    apply,
    baseline,
    canonical,
    generate_code,
    parse_action,
)
from marl_llm.proposals.codegen import ENSEMBLE_START, final_function
from marl_llm.proposals.screened import screened_specs
from marl_llm.proposals.spec import BLEND, ENSEMBLES
from marl_llm.rollout.turns import SCREENED_LINES
from marl_llm.tasks import Task
from marl_llm.tasks.procedural import procedural_task

TINY_PROMPTS = PromptConfig(
    instructions=False,
    names=False,
    memory_tokens=120,
    engineer_memory_tokens=0,
    experience_lines=3,
    max_columns=40,
)
"""The compact prompts the embedded model reads; recipes for it use the same values."""

CHANGES = ("propose_model", "tune", "engineer_features")
HABITS = {
    "propose_model": 0.34,
    "tune": 0.18,
    "engineer_features": 0.28,
    "analyze": 0.1,
    "finish": 0.1,
}
"""How often each action is imitated: near the scripted pair's weights, with more `finish`, so it
can be learned.
"""


ENSEMBLE_SHARE = 0.12
"""Of the Engineer's examples: solutions at hand as functions are combined."""


@dataclass(frozen=True)
class Example:
    """One conversation; only the last message is learned. `wanted` is the right code of an
    Engineer's example.
    """

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
    """A solution some valid changes away from the baseline, and a made-up memory of how it came
    about.
    """
    spec, memory = baseline(card.kind), Memory()
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4, 5))):
        action = random_action(rng, card, spec, CHANGES)
        try:
            after = apply(action, spec, card.context())  # pyright: ignore[reportArgumentType]
        except InvalidAction:
            continue
        if after == spec:
            continue
        verdicts = (
            Verdict.accepted,
            Verdict.no_gain,
            Verdict.no_gain,
            Verdict.failed,
            Verdict.not_as_asked,
        )
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
        return (
            -rng.uniform(0.2, 1.4)
            if name.startswith("neg_")
            else max(-0.3, min(0.99, score + rng.gauss(0, 0.1)))
        )

    return {name: value(name) for name in card.metrics}


def situation(rng: random.Random, world: World) -> Situation:
    """A made-up moment of an episode on a real card."""
    spec, memory = _walk(rng, world.card)
    score = rng.uniform(0.05, 0.98)
    raw = _raw_metrics(rng, world.card, score)
    models = made_up_screen(rng, world.card) if rng.random() < 0.4 else ()
    seen = _seen(rng, world.card) if rng.random() < 0.5 else ()
    left = rng.randint(1, 8)
    return Situation(
        world.card,
        spec,
        generate_code(spec),
        score,
        raw,
        memory,
        left,
        models=models,
        experience=seen,
    )


def made_up_screen(rng: random.Random, card: TaskCard) -> tuple[str, ...]:
    """What a screening might have told: the families in random order, with falling scores."""
    specs = screened_specs(card.context())
    scores = sorted((rng.uniform(0.05, 0.98) for _ in specs), reverse=True)
    drawn = rng.sample(specs, len(specs))
    found = [
        Screened(spec, score, rng.uniform(0, 0.08), 1.0)
        for spec, score in zip(drawn, scores, strict=True)
    ]
    return ModelScreen(tuple(found)).lines(SCREENED_LINES)


def _seen(rng: random.Random, card: TaskCard) -> tuple[str, ...]:
    """Lines of experience that might be shown: models, and at times a change of features last."""
    kinds = ["propose_model"] * rng.randint(1, 2) + ["engineer_features"] * (rng.random() < 0.4)
    gains = sorted((rng.uniform(0.01, 0.4) for _ in kinds), reverse=True)
    actions = [random_action(rng, card, baseline(card.kind), (kind,)) for kind in kinds]
    return tuple(
        f"{gain:+.2f} {canonical(action)}" for gain, action in zip(gains, actions, strict=True)
    )


def drawn_action(rng: random.Random, now: Situation, kind: str) -> Action:
    """An undirected action; where models or experience are shown it often is one of those,
    whichever.
    """
    if kind == "propose_model" and now.models and rng.random() < 0.45:
        call = _CALL.match(rng.choice(now.models))
        assert call is not None
        return parse_action(f"propose_model est = {call[0]}")
    if kind in ("propose_model", "engineer_features") and now.experience and rng.random() < 0.35:
        return parse_action(rng.choice(now.experience).split(" ", 1)[1])
    if kind == "analyze" and now.models:
        return _other_query(rng, now)
    return random_action(rng, now.card, now.spec, (kind,))


_CALL = re.compile(r"\w+\(.*?\)")


def _other_query(rng: random.Random, now: Situation) -> Analyze:
    while True:
        action = random_action(rng, now.card, now.spec, ("analyze",))
        assert isinstance(action, Analyze)
        if action.query != "models":
            return action


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _fake_errors(rng: random.Random, card: TaskCard) -> str:
    if card.class_shares:
        return "recall " + " ".join(
            f"{c} {rng.random():.2f}" for c in range(min(6, len(card.class_shares)))
        )
    values = sorted(rng.gauss(0, 5) for _ in range(5))
    return "residuals " + " ".join(f"{v:.2g}" for v in values)


def data_scientist_example(rng: random.Random, world: World, answers: int = 1) -> Example:
    """A Data Scientist's turn: a prompt, perhaps one analysis, and an undirected action.

    `answers - 1` further independent actions for the same prompt are drawn too, to spare prompt
    tokens in training.
    """
    now = situation(rng, world)
    messages = [_user(data_scientist_prompt(now, TINY_PROMPTS))]
    if rng.random() < 0.12:
        query = drawn_action(rng, now, "analyze")
        assert isinstance(query, Analyze)
        messages += [_assistant(canonical(query)), _user(answer_message(_told(rng, world, query)))]
        if query.query == "models":
            now = replace(
                now,
                models=tuple(messages[-1]["content"].removeprefix("answer: models: ").split("; ")),
            )
        kinds: tuple[str, ...] = (*CHANGES, "finish")
    else:
        kinds = tuple(HABITS)
    drawn = rng.choices(kinds, [HABITS[kind] for kind in kinds], k=answers)
    actions = [canonical(drawn_action(rng, now, kind)) for kind in drawn]
    return Example(DATA_SCIENTIST, [*messages, _assistant(actions[0])], extra_answers=actions[1:])


def _told(rng: random.Random, world: World, query: Analyze) -> str:
    if query.query == "errors":
        return _fake_errors(rng, world.card)
    if query.query == "models":
        return "models: " + "; ".join(made_up_screen(rng, world.card))
    return answer(query, AnalysisView(world.task))


class _Blend(TypedDict, total=False):
    weights: tuple[int, ...]
    power: float


def ensemble_example(rng: random.Random, world: World, error_rate: float) -> Example:
    """An Engineer's turn at the end: solutions are at hand as functions, one line combines them."""
    now, name = situation(rng, world), rng.choice((BLEND, BLEND, BLEND, BLEND, *ENSEMBLES))
    single = name == BLEND and bool(world.card.class_shares) and rng.random() < 0.2
    members = _members(rng, world)[: 1 if single else None]
    blend: _Blend = {}
    if name == BLEND:
        powers = POWERS[1:] if single else (0.0, *POWERS)
        power = rng.choice(powers) if world.card.class_shares else 0.0
        blend = {"weights": _weights(rng, len(members)), "power": power}
    wanted = PipelineSpec(estimator=name, members=members, **blend)
    right = final_function(wanted)
    now = replace(now, code=ENSEMBLE_START, at_hand=functions_at_hand(wanted))
    verb = "finish blend" if name == BLEND else "propose_model"
    messages = [_user(engineer_prompt(now, proposal_text(verb, wanted), TINY_PROMPTS))]
    if rng.random() < 0.1:
        messages += _failed_attempt(rng, now.code, right, world.card)
    code = corrupt(rng, now.code, right, world.card) if rng.random() < error_rate else right
    return Example(
        ML_ENGINEER, [*messages, _assistant(line_edits(now.code, code) or NO_CHANGE)], wanted=right
    )


def _weights(rng: random.Random, count: int) -> tuple[int, ...]:
    """Weights as greedy selection leaves them: how often each of the members was taken in up to 20
    rounds.
    """
    taken = [1] * count
    for _ in range(rng.randint(0, 20 - count)):
        taken[rng.randrange(count)] += 1
    shared = math.gcd(*taken)
    return tuple(weight // shared for weight in taken)


def _members(rng: random.Random, world: World) -> tuple[PipelineSpec, ...]:
    """Two to six different solutions, a screened family or a walked one each."""
    families = screened_specs(world.card.context())
    found: dict[PipelineSpec, None] = {}
    while len(found) < 2 or (rng.random() < 0.6 and len(found) < 6):
        found[rng.choice(families) if rng.random() < 0.6 else _walk(rng, world.card)[0]] = None
    return tuple(found)


def engineer_example(rng: random.Random, world: World, error_rate: float) -> Example:
    """An Engineer's turn: a proposal, and line edits that carry it out (wrong in a share
    `error_rate`).
    """
    if rng.random() < ENSEMBLE_SHARE:
        return ensemble_example(rng, world, error_rate)
    while True:
        now = situation(rng, world)
        action = drawn_action(rng, now, rng.choice(CHANGES))
        assert not isinstance(action, Analyze | Finish)
        try:
            after = apply(action, now.spec, world.card.context())
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
    return Example(
        ML_ENGINEER, [*messages, _assistant(line_edits(now.code, code) or NO_CHANGE)], wanted=right
    )


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
    """An endless, seeded stream of examples; `roles` is cycled through, so repeat a role to weight
    it.
    """
    rng, i = random.Random(seed), 0
    while True:
        world = rng.choice(pool)
        if roles[i % len(roles)] == DATA_SCIENTIST:
            yield data_scientist_example(rng, world, answers)
        else:
            yield engineer_example(rng, world, error_rate)
        i += 1
