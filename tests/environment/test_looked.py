"""A look at the families: the episode goes on from the best of them, and memory knows what all of
them brought.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from marl_llm.core.kind import Kind
from marl_llm.environment import TeamEnv, Verdict
from marl_llm.environment.delivery import Evidence, Tried
from marl_llm.environment.looked import tellable
from marl_llm.proposals import PipelineSpec, baseline, generate_code, screened
from tests.fixtures import CONFIG, small_task
from tests.lent_sandbox import LentSandbox

FOREST = PipelineSpec(estimator="ExtraTreesRegressor", params=(("n_estimators", 20),))


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[TeamEnv]:
    """Screens a linear model twice (also one-hot), boosting and a small forest."""
    trees = screened._Family("ExtraTreesClassifier", "ExtraTreesRegressor", (("n_estimators", 20),))
    monkeypatch.setattr(screened, "_FAMILIES", (*screened._FAMILIES[:3], trees))
    with closing(TeamEnv(small_task(Kind.regression), LentSandbox(), CONFIG)) as one:
        yield one


def score(env: TeamEnv, spec: PipelineSpec) -> float:
    return Evidence(env.evaluator, "folds").score(env.evaluate(spec))


def test_the_episode_goes_on_from_the_best_family_by_the_folds(env: TeamEnv):
    start = env.reset()
    state = env.look(start)
    best = max(env.plain(looked=True), key=lambda spec: score(env, spec))
    assert state.spec == best != start.spec and state.code == generate_code(best)
    assert state.evaluated.complete and state.looked and not start.looked
    assert (state.step, state.finished) == (0, False), "a look is no proposal"


def test_memory_reads_as_if_the_best_family_had_been_proposed_first(env: TeamEnv):
    start = env.reset()
    state = env.look(start)
    first, *others = state.memory.entries
    assert first.verdict is Verdict.accepted and first.spec == state.spec
    assert {entry.verdict for entry in others} == {Verdict.no_gain}
    known = {entry.spec for entry in state.memory.entries}
    assert known == set(env.plain(looked=True)) and len(state.memory.entries) == len(known)
    compared = env.compare(start.evaluated, state.evaluated)
    assert (
        compared is not None
        and first.gain == compared.gain
        and first.score == state.evaluated.holdout.score
    )  # type: ignore[union-attr]
    one_hot = next(
        entry for entry in others if entry.spec is not None and entry.spec.encode == "one_hot"
    )
    assert one_hot.line().endswith("propose_model est = Ridge() with encode one_hot")
    assert all(entry.gain is not None for entry in others)


def test_what_the_look_has_answered_is_redundant_and_a_change_of_the_best_family_is_not(
    env: TeamEnv,
):
    state = env.look(env.reset())
    assert env.read(state, "propose_model est = HistGradientBoostingRegressor()").redundant
    assert env.read(state, f"propose_model est = {state.spec.estimator}()").redundant == (
        not state.spec.params
    )
    change = env.read(state, "engineer_features impute median")
    assert (
        change.spec is not None
        and change.spec.estimator == state.spec.estimator
        and not change.redundant
    )


def test_looking_twice_adds_nothing_and_a_better_solution_is_kept(env: TeamEnv):
    state = env.look(env.reset())
    assert env.look(state) == state
    better = max([FOREST, *env.plain(looked=True)], key=lambda spec: score(env, spec))
    assert score(env, state.spec) == score(env, better)


def test_only_what_is_evaluated_is_known_where_time_was_short(env: TeamEnv):
    start = env.reset()
    nothing = env.look(start, [])
    assert nothing.spec == start.spec and nothing.looked and nothing.memory == start.memory
    one = env.look(nothing, [Tried(FOREST, env.evaluate(FOREST))])
    assert [entry.spec for entry in one.memory.entries] == [FOREST]


def test_a_calibrated_family_which_no_proposal_can_name_stays_out_of_memory(env: TeamEnv):
    calibrated = baseline(Kind.binary).model_copy(
        update={"estimator": "SVC", "calibration": "sigmoid"}
    )
    assert not tellable(calibrated) and tellable(baseline(Kind.binary))
