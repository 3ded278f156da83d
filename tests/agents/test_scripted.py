from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from marl_llm.agents.edits import apply_edits
from marl_llm.agents.scripted import ScriptedDataScientist, ScriptedEngineer, Space, random_action
from marl_llm.core.kind import Kind
from marl_llm.environment import TaskCard, describe_task
from marl_llm.proposals import (
    Analyze,
    Finish,
    apply,
    baseline,
    canonical,
    generate_code,
    parse_action,
    resolve_columns,
)
from marl_llm.tasks import Task
from tests.fixtures import context, small_card

RNG = np.random.default_rng(0)
ROWS = 80
NUMBER, WORD = RNG.normal(size=ROWS), RNG.choice([*"abc"], ROWS)
CLASS = RNG.choice(["yes", "no"], ROWS)
FRAMES = {
    "one number": {"a": NUMBER},
    "one word": {"a": WORD},
    "two words": {"a": WORD, "b": WORD[::-1]},
    "numbers only": {c: RNG.normal(size=ROWS) for c in "abc"},
    "mixed": {"a": NUMBER, "b": WORD, "c": NUMBER[::-1], "d": WORD[::-1], "e": NUMBER**2},
}


def card_of(columns: dict, target: np.ndarray) -> TaskCard:
    return describe_task(
        Task.from_frame(pd.DataFrame({**columns, "y": target}), target="y", features=list(columns))
    )


@pytest.mark.parametrize("columns", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.parametrize("target", [CLASS, RNG.normal(size=ROWS)], ids=["class", "number"])
def test_the_scripted_data_scientist_proposes_only_valid_actions(columns, target):
    card = card_of(columns, target)
    spec, scientist, seen = baseline(card.kind), ScriptedDataScientist(1), set()
    for i in range(500):
        if i % 12 == 0:
            spec = baseline(card.kind)
        action = resolve_columns(parse_action(canonical(scientist.act(card, spec))), card.context())
        seen.add(action.action)
        if not isinstance(action, Analyze | Finish):
            spec = apply(action, spec, card.context())
    assert seen == {"analyze", "propose_model", "tune", "engineer_features", "finish"}


def test_it_neither_analyses_nor_finishes_where_it_may_not():
    card = small_card(Kind.binary)
    scientist = ScriptedDataScientist(2, may_finish=False)
    actions = [scientist.act(card, baseline(card.kind), may_analyze=False) for _ in range(300)]
    assert not any(isinstance(action, Analyze | Finish) for action in actions)


def answers(error_rate: float, count: int) -> list[bool]:
    """Whether each of many answers is the reference code."""
    rng, engineer, right = random.Random(0), ScriptedEngineer(3, error_rate), []
    for _ in range(count):
        kind = rng.choice(list(Kind))
        old = baseline(kind)
        new = apply(
            random_action(
                rng, small_card(kind), old, ("propose_model", "tune", "engineer_features")
            ),
            old,
            context(kind),
        )
        code = apply_edits(
            generate_code(old), engineer.answer(small_card(kind), generate_code(old), new)
        )
        right.append(code == generate_code(new))
    return right


def test_the_scripted_engineer_always_yields_the_reference_code():
    assert all(answers(0.0, 400))


def test_it_is_wrong_in_about_the_share_of_cases_it_was_told():
    assert 0.22 < 1 - np.mean(answers(0.3, 1500)) < 0.33
    assert np.mean(answers(1.0, 400)) < 0.15


@pytest.mark.parametrize("space", ["core", "full"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_actions_finishes_where_it_is_said(space: Space, share: float):
    card = small_card(Kind.binary)
    scientist = ScriptedDataScientist(3, space=space, finish=share)
    actions = [scientist.act(card, baseline(card.kind)) for _ in range(300)]
    found = sum(isinstance(action, Finish) for action in actions) / len(actions)
    assert abs(found - share) < 0.08
    barred = ScriptedDataScientist(3, may_finish=False, space=space, finish=1.0)
    assert not any(isinstance(barred.act(card, baseline(card.kind)), Finish) for _ in range(50))
