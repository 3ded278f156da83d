"""`finish`, `finish best`, `finish blend`: read, resolved, judged, paid for, and the state they
leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from marl_llm.environment import Evaluated, Implementation, State, StepOutcome, TeamEnv, Verdict
from marl_llm.environment.memory import MemoryEntry
from marl_llm.proposals import (
    Finish,
    InvalidAction,
    PipelineSpec,
    canonical,
    generate_code,
    parse_action,
)
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.outcomes import data_scientist_outcome, engineer_outcome
from marl_llm.sandbox import Stage, Status
from tests.fixtures import CONFIG
from tests.lent_sandbox import LentSandbox

FOREST = PipelineSpec(estimator="RandomForestRegressor", params=(("n_estimators", 30),))
BOOSTED = PipelineSpec(estimator="HistGradientBoostingRegressor")
WEAK = PipelineSpec(estimator="Lasso")
NOTHING = Implementation("", Evaluated(Status.error, Stage.none, "nothing was written"))
BY_REFERENCE, BY_STEP = RewardConfig(credit="reference"), RewardConfig(credit="step")


@pytest.mark.parametrize(
    ("reply", "deliver"),
    [
        ("finish", "current"),
        ("finish blend", "blend"),
        ("finish best", "best"),
        ("FINISH: no, finish Blend.", "blend"),
        ("I would stop here.\nfinish best # nothing more to gain", "best"),
        ("finish: blend", "blend"),
        ("finish(deliver='blend')", "blend"),
        ('finish("best")', "best"),
        ("finish deliver=blend", "blend"),
        ("`finish blend`", "blend"),
        ("finish. The best model is good enough", "current"),
        ("finish blending in", "current"),
        ('{"action": "finish", "deliver": "blend", "why": "they differ"}', "blend"),
        ('```json\n{"action": "finish"}\n```', "current"),
    ],
)
def test_finishing_is_read_leniently_and_written_in_one_way(reply: str, deliver: str):
    action = parse_action(reply)
    assert isinstance(action, Finish) and action.deliver == deliver
    assert canonical(action) == ("finish" if deliver == "current" else f"finish {deliver}")
    assert parse_action(canonical(action)) == action.model_copy(update={"why": ""})


def test_delivering_something_else_in_json_is_refused_in_one_sentence():
    with pytest.raises(InvalidAction, match="'current', 'best' or 'blend'"):
        parse_action('{"action": "finish", "deliver": "worst"}')


@pytest.fixture
def own(regression_env: TeamEnv) -> Iterator[TeamEnv]:
    """An environment of its own, so that no screening of another test is known to it."""
    env = TeamEnv(regression_env.task, LentSandbox(), CONFIG)
    yield env
    env.close()


def remembered(env: TeamEnv, state: State, *specs: PipelineSpec, credited: float = 0.0) -> State:
    """The state after these were measured, and none of them built."""
    for spec in specs:
        holdout = env.evaluate(spec).holdout
        assert holdout is not None
        entry = MemoryEntry("tried", Verdict.failed, None, spec, "", holdout.score)
        state = replace(state, memory=state.memory.add(entry), credited=credited)
    return state


def ended(env: TeamEnv, state: State, reply: str, code: str | None = None) -> StepOutcome:
    """What a reply that ends comes to, written by a right Engineer where there is something to
    write.
    """
    suggestion = env.resolve(state, env.read(state, reply))
    if not suggestion.to_implement or suggestion.spec is None:
        return env.judge(state, suggestion)
    code = code or generate_code(suggestion.spec)
    return env.judge(
        state, suggestion, Implementation(code, env.run(code, state.evaluated, suggestion.spec))
    )


@pytest.mark.parametrize("reply", ["finish", "finish best", "finish blend"])
def test_finishing_with_nothing_better_delivers_the_current_solution_and_costs_nothing(
    own: TeamEnv, reply: str
):
    state = own.reset()
    outcome = ended(own, state, reply)
    assert (
        outcome.verdict is Verdict.finished
        and outcome.suggestion.spec is None
        and outcome.reference is None
    )
    for config in (BY_REFERENCE, BY_STEP):
        assert config(data_scientist_outcome([outcome])) == 0
    after = own.advance(state, outcome)
    assert after.finished and (after.spec, after.evaluated) == (state.spec, state.evaluated)


def test_the_best_of_what_was_measured_is_delivered_without_an_engineer_and_paid(own: TeamEnv):
    state = remembered(own, own.reset(), WEAK, FOREST)
    outcome = ended(own, state, "finish best")
    assert outcome.implementation is None and outcome.suggestion.spec == FOREST
    assert (
        outcome.verdict is Verdict.finished
        and outcome.reference_gain is not None
        and outcome.reference_gain > 0.1
    )
    paid = BY_REFERENCE.by_component(data_scientist_outcome([outcome]))
    assert paid["metric_delta"] == sum(paid.values()) == outcome.reference_gain
    after = own.advance(state, outcome)
    assert after.finished and after.spec == FOREST and after.code == generate_code(FOREST)
    assert after.evaluated.holdout == own.evaluate(FOREST).holdout


def test_a_gain_that_was_credited_to_the_suggestion_is_not_credited_again_to_its_delivery(
    own: TeamEnv,
):
    state = own.reset()
    suggestion = own.read(state, "propose_model est = RandomForestRegressor(n_estimators=30)")
    failed = own.judge(state, suggestion, NOTHING)
    after = own.advance(state, failed)
    first = BY_REFERENCE.by_component(data_scientist_outcome([failed]))["metric_delta"]
    outcome = ended(own, after, "finish best")
    assert first > 0.1 and outcome.suggestion.spec == FOREST == own.advance(after, outcome).spec
    assert BY_REFERENCE(data_scientist_outcome([outcome])) == 0


def test_a_blend_is_written_by_the_engineer_and_both_are_paid_its_gain(own: TeamEnv):
    state = remembered(own, own.reset(), FOREST, BOOSTED)
    outcome = ended(own, state, "finish blend")
    spec = outcome.suggestion.spec
    assert spec is not None and len(spec.members) > 1 and outcome.suggestion.to_implement
    assert (
        outcome.compliance == 1
        and outcome.step_gain == outcome.reference_gain
        and outcome.step_gain > 0.1
    )
    for config in (BY_REFERENCE, BY_STEP):
        assert config(data_scientist_outcome([outcome])) == outcome.step_gain
        assert config(engineer_outcome(outcome)) == outcome.step_gain
    after = own.advance(state, outcome)
    assert (
        after.finished
        and after.spec == spec
        and after.memory.entries[-1].line() == "finished finish blend"
    )


def test_a_right_blend_is_not_fitted_its_members_were(own: TeamEnv):
    state = remembered(own, own.reset(), FOREST, BOOSTED)
    fits = own.evaluator.fits
    assert ended(own, state, "finish blend").compliance == 1 and own.evaluator.fits == fits


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("def build_pipeline():\n    return nothing", Verdict.failed),
        (generate_code(WEAK), Verdict.not_as_asked),
    ],
)
def test_a_blend_that_is_not_written_as_asked_ends_the_episode_where_it_was(
    own: TeamEnv, code: str, verdict: Verdict
):
    state = remembered(own, own.reset(), FOREST, BOOSTED)
    outcome = ended(own, state, "finish blend", code)
    assert outcome.verdict is verdict and outcome.step_gain == 0
    assert BY_REFERENCE(engineer_outcome(outcome)) < 0
    assert BY_STEP(data_scientist_outcome([outcome])) == 0
    assert BY_REFERENCE(data_scientist_outcome([outcome])) > 0.1  # what it asked for was a gain
    after = own.advance(state, outcome)
    assert after.finished and (after.spec, after.evaluated) == (state.spec, state.evaluated)


def test_a_delivery_without_a_significant_gain_is_no_failure(own: TeamEnv):
    state = remembered(
        own, replace(own.reset(), spec=FOREST, evaluated=own.evaluate(FOREST)), BOOSTED
    )
    outcome = ended(own, state, "finish blend")
    assert outcome.suggestion.spec is not None and outcome.reference_comparison is not None
    strict = replace(
        outcome,
        reference_comparison=replace(outcome.reference_comparison, significant=False),
        comparison=replace(outcome.reference_comparison, significant=False),
    )
    for config in (BY_REFERENCE, BY_STEP):
        assert config(data_scientist_outcome([strict])) == 0
        assert config(engineer_outcome(strict)) == 0
    assert (
        own.advance(state, strict).spec == outcome.suggestion.spec
    )  # chosen on the folds, and delivered


def test_an_ensemble_that_is_the_best_is_delivered_as_it_is_and_written_again(own: TeamEnv):
    stacked = PipelineSpec(estimator="Stacking", members=(FOREST, BOOSTED))
    one = own.config.model_copy(update={"blend_members": 1})
    state = remembered(own, own.reset(), stacked)
    own.config = one
    outcome = ended(own, state, "finish blend")
    assert outcome.suggestion.spec == stacked and outcome.suggestion.to_implement
    assert outcome.compliance == 1 and own.advance(state, outcome).spec == stacked


def test_families_are_candidates_once_the_models_were_screened(own: TeamEnv):
    state = own.reset()
    unseen = ended(own, state, "finish best")
    own.screen()
    assert unseen.suggestion.spec is None
    assert (
        ended(own, state, "finish best").suggestion.spec is None
    )  # another branch looked, this one did not
    best = ended(own, replace(state, looked=True), "finish best")
    assert (
        best.suggestion.spec is not None
        and best.reference_gain is not None
        and best.reference_gain > 0.1
    )
    within = replace(own.read(state, "finish best"), looked=True)
    assert own.resolve(state, within).spec == best.suggestion.spec  # screened in the same turn


def test_a_searched_region_remembers_that_the_models_were_screened(own: TeamEnv):
    state = own.reset()
    read = replace(own.read(state, "tune alpha=between(0.1, 10.0), budget=2"), looked=True)
    assert read.to_search
    resolved = own.resolve(state, read)
    assert resolved.looked and not resolved.to_search
