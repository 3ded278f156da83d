"""What a judged step pays both agents."""

from __future__ import annotations

import pytest

from marl_llm.environment import Evaluated, Implementation, TeamEnv
from marl_llm.proposals import generate_code
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.outcomes import data_scientist_outcome, engineer_outcome
from marl_llm.sandbox import Stage, Status

FOREST = "propose_model est = RandomForestClassifier(n_estimators=50)"
NOTHING = Implementation("", Evaluated(Status.error, Stage.none, "nothing was written"))


def test_a_suggestion_that_the_engineer_fails_to_build_is_credited_once(env: TeamEnv):
    config, state = RewardConfig(credit="reference"), env.reset()
    first = env.judge(state, env.read(state, FOREST), NOTHING)
    assert config.by_component(data_scientist_outcome([first]))["metric_delta"] > 0
    after = env.advance(state, first)
    again = env.judge(after, env.read(after, FOREST), NOTHING)
    assert not again.suggestion.redundant  # it may still be built
    assert config(data_scientist_outcome([again])) == 0


def test_many_like_suggestions_that_are_never_built_earn_the_largest_gain_once(env: TeamEnv):
    config, state, total, best = RewardConfig(credit="reference"), env.reset(), 0.0, 0.0
    for trees in (50, 60, 70):
        outcome = env.judge(state, env.read(state, FOREST.replace("50", str(trees))), NOTHING)
        total += config.by_component(data_scientist_outcome([outcome]))["metric_delta"]
        best = max(best, outcome.reference_gain or 0.0)
        state = env.advance(state, outcome) if state.step < 2 else state
    assert total == pytest.approx(best) and best > 0


def test_what_was_credited_counts_for_the_current_solution_only(env: TeamEnv):
    state = env.reset()
    suggestion = env.read(state, FOREST)
    assert suggestion.spec is not None
    code = generate_code(suggestion.spec)
    failed = env.advance(state, env.judge(state, suggestion, NOTHING))
    built = env.advance(failed, env.judge(failed, suggestion, Implementation(code, env.run(code))))
    assert failed.credited > 0 and built.spec == suggestion.spec and built.credited == 0


def test_a_repeated_suggestion_that_is_built_at_last_pays_the_engineer(env: TeamEnv):
    state = env.reset()
    after = env.advance(state, env.judge(state, env.read(state, FOREST), NOTHING))
    suggestion = env.read(after, FOREST)
    assert suggestion.spec is not None
    code = generate_code(suggestion.spec)
    outcome = env.judge(after, suggestion, Implementation(code, env.run(code, after.evaluated)))
    assert (
        outcome.accepted
        and RewardConfig().by_component(engineer_outcome(outcome))["metric_delta"] > 0
    )


def test_rewards_under_early_stopping_are_those_without_it(env: TeamEnv):
    eager = TeamEnv(env.task, env._sandbox, env.config.model_copy(update={"early_stop": True}))
    for reply in (FOREST, "tune C=0.01", "propose_model est = GaussianNB()"):
        totals = []
        for one in (env, eager):
            state = one.reset()
            suggestion = one.read(state, reply)
            assert suggestion.spec is not None
            code = generate_code(suggestion.spec)
            outcome = one.judge(
                state, suggestion, Implementation(code, one.run(code, state.evaluated))
            )
            totals.append(
                (
                    outcome.verdict,
                    RewardConfig()(data_scientist_outcome([outcome])),
                    RewardConfig()(engineer_outcome(outcome)),
                )
            )
        assert totals[0] == totals[1]
    eager.close()
