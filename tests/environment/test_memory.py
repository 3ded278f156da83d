"""What memory recognises as already suggested, what a prompt shows of it, and that it survives on
disk.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from marl_llm.agents.full_space import full_action
from marl_llm.agents.prompts import PromptConfig, Situation, data_scientist_prompt
from marl_llm.core.kind import Kind
from marl_llm.environment import Memory, MemoryEntry, State, TeamEnv, Verdict
from marl_llm.environment.memory import rough_tokens
from marl_llm.proposals import (
    InvalidAction,
    apply,
    baseline,
    canonical,
    generate_code,
    resolve_columns,
)
from tests.fixtures import context, small_card

KIND = Kind.binary


def rejected(env: TeamEnv, state: State, *replies: str) -> State:
    """The state after suggestions that were built as asked and brought nothing."""
    memory = state.memory
    for reply in replies:
        suggestion = env.read(State(**{**vars(state), "memory": memory}), reply)
        assert suggestion.valid and not suggestion.redundant, reply
        memory = memory.add(MemoryEntry(suggestion.text, Verdict.no_gain, 0.0, suggestion.spec))
    return State(**{**vars(state), "memory": memory})


@pytest.mark.parametrize(
    ("before", "again"),
    [
        ("tune C=0.3", "tune C=0.3"),
        ("tune C=0.3", "tune C=0.30, max_iter=100"),
        ("tune C=0.3", "propose_model est = LogisticRegression(C=0.3)"),
        (
            "propose_model est = RandomForestClassifier()",
            "propose_model est = RandomForestClassifier(n_estimators=100)",
        ),
        ("propose_model est = RandomForestClassifier()", "propose_model est = random_forest()"),
        ("propose_model est = SVC()", "propose_model est = svm(C=1)"),
        ("engineer_features scale minmax", "engineer_features scale min-max"),
        ("engineer_features encode one_hot", "engineer_features encode onehot"),
        (
            'engineer_features log ["x0"]; bin ["x1"]',
            'engineer_features bin ["gap"]; log ["Body Size"]',
        ),
        ('engineer_features drop ["x2", "x0"]', 'engineer_features drop ["x0"]; drop ["x2"]'),
        (
            "propose_model est = Ridge_Classifier()",
            "propose_model est = RidgeClassifier(alpha=1.0, class_weight=None)",
        ),
    ],
)
def test_the_same_solution_asked_for_in_other_words_is_redundant(env, before, again):
    state = rejected(env, env.reset(), before)
    assert env.read(state, again).redundant
    assert not env.read(env.reset(), again).redundant


@pytest.mark.parametrize(
    "reply", ["tune C=1", "tune C=1.0, max_iter=100", "engineer_features scale standard"]
)
def test_what_stands_already_is_redundant_from_the_start(env, reply):
    assert env.read(env.reset(), reply).redundant


def test_filling_gaps_where_there_are_none_is_redundant(env):
    state = rejected(env, env.reset())
    assert not env.read(state, "engineer_features impute median").redundant  # x1 has gaps
    without = env.read(state, 'engineer_features drop ["x1"]').spec
    now = State(**{**vars(state), "spec": without, "code": generate_code(without)})
    assert env.read(now, "engineer_features impute median").redundant


def test_another_value_after_a_rejection_is_not_redundant(env):
    state = rejected(env, env.reset(), "tune C=0.3")
    assert not env.read(state, "tune C=0.31").redundant


def test_an_ensemble_of_the_same_solutions_in_another_order_is_redundant(env):
    state = rejected(
        env, env.reset(), "propose_model est = GaussianNB()", "propose_model est = MLPClassifier()"
    )
    state = rejected(env, state, "propose_model est = Voting(0, 1, 2)")
    assert env.read(state, "propose_model est = Voting(2, 0, 1)").redundant
    assert not env.read(state, "propose_model est = Voting(0, 1)").redundant
    assert "memory line 7" in env.read(state, "propose_model est = Voting(0, 7)").problem
    assert "another one" in env.read(state, "propose_model est = Voting(0, 3)").problem


def drawn(seed: int, length: int) -> Memory:
    """A past of random valid suggestions."""
    rng, card, memory = random.Random(seed), small_card(KIND), Memory()
    for _ in range(length):
        action = full_action(rng, card, baseline(KIND), ("propose_model", "engineer_features"))
        try:
            spec = apply(resolve_columns(action, context(KIND)), baseline(KIND), context(KIND))
        except InvalidAction:
            continue
        verdict = rng.choice(
            (Verdict.accepted, Verdict.no_gain, Verdict.failed, Verdict.not_as_asked)
        )
        memory = memory.add(
            MemoryEntry(canonical(action), verdict, round(rng.gauss(0, 0.1), 3), spec, "why")
        )
    return memory


@given(st.integers(0, 10**6), st.integers(0, 20), st.integers(0, 500), st.booleans())
@example(17, 15, 255, False)  # the same suggestion twice, one of them left out
def test_any_budget_is_kept_and_lines_are_whole(seed, length, budget, numbered):
    memory = drawn(seed, length)
    text = memory.render(budget, rough_tokens, numbered=numbered)
    assert rough_tokens(text) <= budget
    whole = iter(memory.render(10**9, numbered=numbered).split("\n"))
    assert all(line in whole for line in text.split("\n") if line), (
        "in order; a line may stand in both more than once"
    )


@given(st.integers(0, 10**6), st.integers(0, 20))
def test_a_memory_read_back_from_disk_is_equal_and_recognises_the_same(seed, length):
    memory = drawn(seed, length)
    again = Memory.from_json(memory.to_json())
    assert again == memory
    assert all(
        again.tried(e.spec) == memory.tried(e.spec) for e in memory.entries if e.spec is not None
    )


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '[{"text": "a"}]', '[{"text": "a", "verdict": "won"}]', "[" * 9000]
)
def test_text_that_is_no_memory_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="not a memory") as caught:
        Memory.from_json(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_the_prompt_holds_what_is_needed_to_avoid_a_repetition():
    card, memory = small_card(KIND), drawn(3, 8)
    assert len(memory.entries) == 8
    spec = baseline(KIND)
    situation = Situation(card, spec, generate_code(spec), 0.5, {"f1_macro": 0.5}, memory, 3)
    prompt = data_scientist_prompt(situation, PromptConfig(memory_tokens=2000))
    for number, entry in enumerate(memory.entries, 1):
        assert f"{number} {entry.line()}" in prompt
        assert entry.text in prompt
    shown = data_scientist_prompt(situation, PromptConfig(memory_tokens=60))
    kept = [e for e in memory.entries if e.verdict is Verdict.accepted]
    assert any(e.text in shown for e in kept) and len(shown) < len(prompt)


def test_a_new_episode_on_the_same_data_goes_on_from_the_old_memory(env):
    memory = rejected(env, env.reset(), "tune C=0.3").memory
    assert env.read(env.reset(memory), "tune C=0.3").redundant
