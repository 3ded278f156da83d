"""What is delivered in the end: from which candidates, on which rows, and whether it counts as a
gain.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from marl_llm.core.predictions import Predictions
from marl_llm.environment import Evaluated, Implementation, State, TeamEnv, Verdict
from marl_llm.environment.delivery import Evidence, Tried, choose_delivery, distinct
from marl_llm.environment.memory import MemoryEntry
from marl_llm.proposals import PipelineSpec, baseline, generate_code
from marl_llm.proposals.spec import BLEND
from marl_llm.sandbox import Stage, Status

RIDGE, LASSO = PipelineSpec(estimator="Ridge"), PipelineSpec(estimator="Lasso")
LINEAR, BAYES = PipelineSpec(estimator="LogisticRegression"), PipelineSpec(estimator="GaussianNB")
TUNED = PipelineSpec(estimator="LogisticRegression", threshold="f1")


def predicting(env: TeamEnv, folds: Predictions, holdout: Predictions) -> Evaluated:
    """A result with these predictions, scored as the environment scores."""
    evaluator = env.evaluator
    return Evaluated(
        Status.ok,
        Stage.predicted,
        out_of_fold=folds,
        holdout_predictions=holdout,
        cv=evaluator.scores(evaluator.out_of_fold_labels, folds),
        holdout=evaluator.scores(env.task.holdout.y, holdout),
    )


def off(env: TeamEnv, folds: float, holdout: float) -> Evaluated:
    """A regressor that is off by so much everywhere."""
    return predicting(
        env,
        Predictions(env.evaluator.out_of_fold_labels + folds),
        Predictions(env.task.holdout.y + holdout),
    )


def right(
    y: np.ndarray, share: float, seed: int = 0, proba: np.ndarray | None = None
) -> Predictions:
    """Labels of which a share is right, with probabilities that say the same unless others are
    given.
    """
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(len(y)) < share, y, 1 - y).astype(np.int64)
    return Predictions(
        labels, np.where(np.eye(2)[labels] == 1, 0.9, 0.1) if proba is None else proba
    )


def classified(env: TeamEnv, folds: float, holdout: float, seed: int = 0) -> Evaluated:
    """A classifier that is right so often on the folds, and on the hold-out."""
    y, held = env.evaluator.out_of_fold_labels, env.task.holdout.y
    return predicting(env, right(y, folds, seed), right(held, holdout, seed))


def test_a_rollout_chooses_on_the_folds_and_solve_on_all_rows(regression_env: TeamEnv):
    env = regression_env
    tried = [Tried(RIDGE, off(env, 0.1, 9.0)), Tried(LASSO, off(env, 0.2, 0.1))]
    assert choose_delivery(tried, Evidence(env.evaluator, "folds"), 1) == RIDGE
    assert choose_delivery(tried, Evidence(env.evaluator, "all"), 1) == LASSO


def test_a_choice_on_the_folds_reads_nothing_of_the_holdout(regression_env: TeamEnv):
    env, chosen = regression_env, set()
    for off_by in (0.0, 5.0):
        tried = [Tried(RIDGE, off(env, 0.1, off_by)), Tried(LASSO, off(env, -0.3, 5 - off_by))]
        chosen.add(choose_delivery(tried, Evidence(env.evaluator, "folds"), 6))
    assert len(chosen) == 1


def test_errors_of_opposite_sign_are_blended_and_weights_have_no_common_factor(
    regression_env: TeamEnv,
):
    env = regression_env
    tried = [Tried(RIDGE, off(env, 0.1, 0.1)), Tried(LASSO, off(env, -0.1, -0.1))]
    found = choose_delivery(tried, Evidence(env.evaluator, "folds"), 6)
    assert (found.estimator, found.members, found.weights, found.power) == (
        BLEND,
        (RIDGE, LASSO),
        (1, 1),
        0,
    )
    assert choose_delivery(tried, Evidence(env.evaluator, "folds"), 1) == RIDGE


def test_a_blend_that_is_no_better_than_the_best_model_is_not_delivered(regression_env: TeamEnv):
    env = regression_env
    tried = [Tried(RIDGE, off(env, 0.2, 0.2)), Tried(LASSO, off(env, 0.1, 0.1))]
    assert choose_delivery(tried, Evidence(env.evaluator, "folds"), 6) == LASSO


def test_an_ensemble_is_delivered_as_it_is_and_never_blended(regression_env: TeamEnv):
    env = regression_env
    stacked = PipelineSpec(estimator="Stacking", members=(RIDGE, LASSO))
    tried = [Tried(stacked, off(env, 0.01, 0.01)), Tried(RIDGE, off(env, 0.3, 0.3))]
    assert choose_delivery(tried, Evidence(env.evaluator, "folds"), 6) == stacked
    assert choose_delivery(tried[:1], Evidence(env.evaluator, "folds"), 6) == stacked


def test_a_tuned_threshold_counts_for_what_it_decides_itself(env: TeamEnv):
    y, held = env.evaluator.out_of_fold_labels, env.task.holdout.y
    perfect = [np.where(np.eye(2)[labels] == 1, 0.9, 0.1) for labels in (y, held)]
    upside_down = predicting(env, right(y, 0.1, 0, perfect[0]), right(held, 0.1, 0, perfect[1]))
    tried = [Tried(TUNED, upside_down), Tried(BAYES, classified(env, 0.8, 0.8))]
    for most in (1, 6):
        assert choose_delivery(tried, Evidence(env.evaluator, "folds"), most) != TUNED


def off_by_chance(env: TeamEnv, error: float, seed: int) -> Evaluated:
    """A regressor with so much noise of its own: of two as bad the blend is better."""
    rng = np.random.default_rng(seed)
    y, held = env.evaluator.out_of_fold_labels, env.task.holdout.y
    return predicting(
        env,
        Predictions(y + rng.normal(0, error, len(y))),
        Predictions(held + rng.normal(0, error, len(held))),
    )


def test_what_was_tried_beside_the_families_joins_only_where_it_is_clearly_better(regression_env):
    env = regression_env
    ridge = Tried(RIDGE, off_by_chance(env, 1.0, 0))
    evidence, plain = Evidence(env.evaluator, "all"), [RIDGE]
    equal, better = ([ridge, Tried(LASSO, off_by_chance(env, error, 1))] for error in (1.05, 0.2))
    assert choose_delivery(equal, evidence, 6).members == (RIDGE, LASSO)
    assert choose_delivery(equal, evidence, 6, plain) == RIDGE
    assert LASSO in (
        choose_delivery(better, evidence, 1, plain),
        *choose_delivery(better, evidence, 6, plain).members,
    )
    assert choose_delivery(equal, evidence, 6, plain, accepted=[LASSO]).members == (RIDGE, LASSO)


def test_the_bar_is_set_by_the_families_and_in_a_rollout_not_for_what_was_accepted(
    regression_env, monkeypatch
):
    """A tried model that is better by luck is not delivered, accepted or not; a finish in a rollout
    takes what was.
    """
    env, start = regression_env, regression_env.reset()
    evaluate = env.evaluate

    def luckier(spec: PipelineSpec, against: Evaluated | None = None) -> Evaluated:
        return replace(start.evaluated) if spec == LASSO else evaluate(spec, against)

    monkeypatch.setattr(env, "evaluate", luckier)
    monkeypatch.setattr(Evidence, "score", lambda self, one: float(one is not start.evaluated))
    monkeypatch.setattr(Evidence, "clearly_better", lambda *_: False)
    for verdict, finished in ((Verdict.no_gain, None), (Verdict.accepted, LASSO)):
        entry = MemoryEntry("propose", verdict, 0.1, LASSO, "", 0.9)
        state = replace(start, memory=start.memory.add(entry))
        assert env.choose(state, 1) == start.spec
        assert env.resolve(state, env.read(state, "finish best")).spec == finished


def test_where_others_deliver_a_finish_is_a_wish_and_nothing_is_chosen_for_it(
    env: TeamEnv, monkeypatch
):
    monkeypatch.setattr(env, "delivers", False)
    wish = env.read(env.reset(), "finish blend")
    assert wish.ends and not wish.to_choose and not wish.to_implement


def test_equal_solutions_are_tried_once():
    spelled = LINEAR.model_copy(update={"params": (("C", 1.0),)})
    assert distinct([LINEAR, BAYES, spelled, LINEAR]) == [LINEAR, BAYES]


def remembered(state: State, *found: tuple[PipelineSpec, float | None]) -> State:
    for spec, score in found:
        entry = MemoryEntry("propose", Verdict.failed, None, spec, "", score)
        state = replace(state, memory=state.memory.add(entry))
    return state


def test_the_start_is_among_the_candidates_wherever_the_episode_went(env: TeamEnv):
    state = env.reset()
    moved = replace(state, spec=BAYES, code=generate_code(BAYES), evaluated=env.evaluate(BAYES))
    assert [one.spec for one in env.tried(moved)] == [baseline(env.task.kind), BAYES]
    assert all(one.evaluated.complete for one in env.tried(moved))


def test_what_was_measured_is_a_candidate_whatever_the_engineer_made_of_it(env: TeamEnv):
    tree = PipelineSpec(estimator="DecisionTreeClassifier")
    state = remembered(env.reset(), (BAYES, 0.3), (tree, None))
    assert [one.spec for one in env.tried(state)] == [LINEAR, BAYES]


def test_what_does_not_run_is_no_candidate(env: TeamEnv):
    broken = PipelineSpec(estimator="KNeighborsClassifier", params=(("n_neighbors", 400),))
    assert [one.spec for one in env.tried(remembered(env.reset(), (broken, 0.9)))] == [LINEAR]


def test_delivering_where_nothing_better_was_tried_is_delivering_the_start(env: TeamEnv):
    state = env.reset()
    rule = env.deliver(state).spec
    assert rule == LINEAR or (rule.members == (LINEAR,) and rule.power > 0)


def test_a_spent_budget_delivers_what_is_known_and_fits_nothing(sandbox, env: TeamEnv):
    own = TeamEnv(env.task, sandbox, env.config)
    state = remembered(
        own.reset(), (BAYES, 0.3), (PipelineSpec(estimator="DecisionTreeClassifier"), 0.9)
    )
    own.evaluate(BAYES)
    own.evaluator.enough = lambda: True
    fits = own.evaluator.fits
    assert [one.spec for one in own.tried(state)] == [LINEAR, BAYES]
    assert own.deliver(state).evaluated.complete
    assert own.evaluator.fits == fits
    own.close()


def test_a_gain_on_the_holdout_that_the_folds_contradict_is_no_acceptance_and_leaves_a_note(
    env: TeamEnv,
):
    state = replace(env.reset(), evaluated=classified(env, 0.8, 0.8))
    suggestion = env.read(state, "propose_model est = GaussianNB()")
    assert suggestion.spec is not None
    code = generate_code(suggestion.spec)

    def judged(folds: float) -> tuple[bool, str]:
        outcome = env.judge(
            state, suggestion, Implementation(code, classified(env, folds, 1.0, seed=1))
        )
        assert outcome.comparison is not None and outcome.comparison.gain > 0.1
        return outcome.accepted, outcome.entry().note

    assert judged(0.8) == (True, "")
    assert judged(0.3) == (False, "better on the hold-out, but the folds say worse")


@pytest.mark.parametrize("significance", ["paired_bootstrap", "corrected_resampled_t"])
def test_only_a_loss_on_the_folds_contradicts_not_a_lesser_gain(
    sandbox, env: TeamEnv, significance: str
):
    own = TeamEnv(env.task, sandbox, env.config.model_copy(update={"significance": significance}))
    before = classified(own, 0.8, 0.8)
    for folds, contradicted in (
        (0.8, False),
        (0.79, False),
        (0.3, significance == "paired_bootstrap"),
    ):
        found = own.compare(before, classified(own, folds, 1.0))
        assert found is not None and found.contradicted == contradicted
        assert not (found.contradicted and found.significant)
    own.close()
