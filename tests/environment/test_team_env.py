from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from marl_llm.core.errors import RunFailed
from marl_llm.core.kind import Kind
from marl_llm.environment import EnvironmentConfig, Implementation, Suggestion, TeamEnv, Verdict
from marl_llm.proposals import generate_code
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.outcomes import data_scientist_outcome, engineer_outcome
from marl_llm.tasks import Task
from tests.fixtures import CONFIG, small_frame, small_task

FOREST = "propose_model est = RandomForestClassifier(n_estimators=30)"
WORSE = "propose_model est = GaussianNB()"


def played(env: TeamEnv, state, reply: str, code: str | None = None):
    """The outcome of a suggestion with the reference code, or with another."""
    suggestion = env.read(state, reply)
    code = code if code is not None else generate_code(suggestion.spec)
    return env.judge(state, suggestion, Implementation(code, env.run(code)))


def test_a_significant_and_compliant_change_is_accepted_and_becomes_the_model(env):
    state = env.reset()
    outcome = played(env, state, FOREST)
    assert outcome.accepted and outcome.comparison.significant and outcome.compliance == 1
    assert outcome.step_gain == outcome.comparison.gain == outcome.reference_gain > 0.1
    after = env.advance(state, outcome)
    assert after.spec == outcome.suggestion.spec and after.code == generate_code(after.spec)
    assert after.evaluated.holdout.score == pytest.approx(
        state.evaluated.holdout.score + outcome.step_gain
    )
    assert after.step == 1 and not after.finished


def test_a_change_without_significant_gain_leaves_the_model_as_it_was(env):
    state = env.reset()
    outcome = played(env, state, WORSE)
    assert outcome.verdict is Verdict.no_gain and outcome.step_gain == 0 == outcome.reference_gain
    after = env.advance(state, outcome)
    assert (after.spec, after.code, after.evaluated) == (state.spec, state.code, state.evaluated)
    assert after.memory.entries[-1].line().startswith("no ")


def test_a_gain_that_was_not_asked_for_is_not_accepted(env):
    state = env.reset()
    forest = generate_code(env.read(state, FOREST).spec)
    outcome = played(env, state, WORSE, forest)
    assert outcome.verdict is Verdict.not_as_asked and outcome.comparison.significant
    assert outcome.step_gain == 0 and outcome.compliance < 1
    assert env.advance(state, outcome).spec == state.spec


def test_failed_code_is_the_engineers_and_the_reference_still_tells_of_the_suggestion(env):
    state = env.reset()
    outcome = played(env, state, FOREST, "def build_pipeline():\n    return model")
    assert outcome.verdict is Verdict.failed and outcome.compliance is None
    assert outcome.reference_gain > 0.1
    assert "NameError" in outcome.entry().note


def test_an_invalid_action_and_finish_need_no_engineer(env):
    state = env.reset()
    for reply, verdict in (
        ("hm", Verdict.invalid),
        ("tune depth=3", Verdict.invalid),
        ("finish", Verdict.finished),
    ):
        suggestion = env.read(state, reply)
        assert not suggestion.to_implement
        outcome = env.judge(state, suggestion)
        assert outcome.verdict is verdict and outcome.reference_gain is None
        assert env.advance(state, outcome).finished == (reply == "finish")


@pytest.mark.parametrize(
    "reply",
    [
        "tune C=1" + "0" * 400,
        '{"action": "tune", "params": {"C\\n\\n": 1}}',
        "x" * 9999,
        "\ud800",
        "",
    ],
)
def test_any_reply_is_read_into_one_short_line(env, reply):
    suggestion = env.read(env.reset(), reply)
    assert not suggestion.valid
    assert len(suggestion.text) <= 120 and "\n" not in suggestion.text


def test_what_changes_nothing_or_was_answered_before_is_redundant(env):
    state = env.reset()
    assert env.read(state, "engineer_features impute mean").redundant
    assert (
        env.judge(state, env.read(state, "engineer_features impute mean")).verdict
        is Verdict.redundant
    )
    assert not env.read(state, WORSE).redundant
    after = env.advance(state, played(env, state, WORSE))
    assert env.read(after, WORSE).redundant
    assert env.read(after, "propose_model est = GaussianNB() # again").redundant


def test_what_failed_or_was_done_otherwise_may_be_asked_for_again(env):
    state = env.reset()
    failed = env.advance(
        state, played(env, state, WORSE, "def build_pipeline():\n    return model")
    )
    otherwise = env.advance(state, played(env, state, WORSE, state.code))
    assert not env.read(failed, WORSE).redundant
    assert not env.read(otherwise, WORSE).redundant


def test_the_episode_ends_after_its_last_step(env):
    state = env.reset()
    for _ in range(CONFIG.steps):
        assert not state.finished
        state = env.advance(state, env.judge(state, env.read(state, "hm")))
    assert state.finished


def test_a_proposal_that_cannot_run_is_the_data_scientists_fault_not_the_engineers(sandbox):
    task = Task.from_frame(small_frame(Kind.binary, 120), target="outcome")
    env = TeamEnv(task, sandbox, CONFIG)
    state = env.reset()
    outcome = played(env, state, "propose_model est = KNeighborsClassifier(n_neighbors=400)")
    assert not outcome.reference.ok
    assert (
        outcome.compliance == 1
        and outcome.verdict is Verdict.no_gain
        and outcome.reference_gain == 0
    )
    assert RewardConfig().by_component(data_scientist_outcome([outcome]))["no_gain"] < 0
    assert RewardConfig().by_component(engineer_outcome(outcome))["failure"] == 0
    assert env.advance(state, outcome).spec == state.spec
    env.close()


def test_significance_on_folds_agrees_about_a_large_gain(sandbox):
    config = EnvironmentConfig(cv_folds=5, significance="corrected_resampled_t")
    env = TeamEnv(small_task(Kind.binary), sandbox, config)
    state = env.reset()
    assert played(env, state, FOREST).comparison.significant
    assert not played(env, state, WORSE).comparison.significant
    env.close()


def test_a_baseline_that_cannot_run_is_said_in_one_sentence(sandbox, monkeypatch):
    env = TeamEnv(small_task(Kind.binary), sandbox, CONFIG)
    monkeypatch.setattr(
        "marl_llm.environment.team_env.generate_code",
        lambda spec: "def build_pipeline():\n    return 1",
    )
    with pytest.raises(RunFailed, match="small-binary: the baseline does not run"):
        env.reset()
    env.close()


@pytest.mark.parametrize("query", ["distribution", "target", "errors"])
def test_answers_are_short_and_the_same_every_time(env, regression_env, query):
    for one in (env, regression_env):
        state = one.reset()
        action = one.read(state, f'analyze {query} ["x0", "x1", "x3", "x4"]').action
        answer = one.analyze(state, action)
        assert answer == one.analyze(state, action)
        assert 0 < len(answer) < 300 and "\n" not in answer


def test_answers_come_from_development_rows_only(env):
    from dataclasses import replace

    from marl_llm.environment.analysis import AnalysisView, answer

    state, task = env.reset(), small_task(Kind.binary)
    view = AnalysisView(
        replace(task, holdout=None, test=None),
        state.evaluated.out_of_fold,
        env.evaluator.out_of_fold_rows,
    )
    for query in ("distribution", "target", "errors"):
        action = env.read(state, f'analyze {query} ["x0", "x3"]').action
        assert answer(action, view) == env.analyze(state, action)


@pytest.mark.parametrize(
    "values", [[np.nan] * 60, [1.0] * 60, [1.0, np.nan] * 30, [0.0] * 58 + [5.0, 6.0], [None] * 60]
)
def test_a_column_without_variety_in_the_development_rows_has_an_answer_too(values):
    from marl_llm.environment.analysis import AnalysisView, answer
    from marl_llm.proposals import Analyze
    from marl_llm.tasks.parts import Part

    part = Part(
        pd.DataFrame({"x0": pd.Series(values, dtype=object if values[0] is None else float)}),
        np.arange(60) % 2,
    )
    task = type("Stub", (), {"development": part, "kind": Kind.binary, "columns": ()})()
    for query in ("distribution", "target"):
        told = answer(Analyze(query=query, columns=("x0",)), AnalysisView(task))
        assert told.startswith("x0 ") and len(told) > 3


def test_an_invalid_suggestion_is_not_valid_by_its_text():
    assert not Suggestion("tune C=3", problem="no").to_implement
