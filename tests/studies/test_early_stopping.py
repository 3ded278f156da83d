from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from early_stopping import Setting, clopper_pearson, summarise, table, walk
from scipy.stats import binomtest

from marl_llm.core.kind import Kind
from marl_llm.environment import Evaluated, Implementation, TeamEnv, Verdict
from marl_llm.proposals import generate_code
from marl_llm.sandbox import Stage, Status
from tests.fixtures import CONFIG, small_task

FOREST = "propose_model est = RandomForestClassifier(n_estimators=30)"
WORSE = 'engineer_features drop ["x3"]'
PROPOSALS = (
    FOREST,
    WORSE,
    "tune C=0.9",
    'engineer_features polynomial ["x0", "x1"]',
    "propose_model est = GaussianNB()",
    "propose_model est = KNeighborsClassifier(n_neighbors=3)",
)
TESTS = ("paired_bootstrap", "corrected_resampled_t")


@pytest.fixture
def make(sandbox):
    """Makes environments, with early stopping unless told otherwise, and closes them."""
    made: list[TeamEnv] = []

    def one(significance: str = "paired_bootstrap", **changes) -> TeamEnv:
        chosen = {"significance": significance, "early_stop": True, "cv_folds": 3, **changes}
        made.append(TeamEnv(small_task(Kind.binary), sandbox, CONFIG.model_copy(update=chosen)))
        return made[-1]

    yield one
    for env in made:
        env.close()


def code_of(env: TeamEnv, reply: str) -> str:
    return generate_code(env.read(env.reset(), reply).spec)


def same(a: Evaluated, b: Evaluated) -> bool:
    """True if everything that was measured is equal; times and memory addresses are not."""
    return (a.status, a.cv, a.holdout, a.stopped_after) == (
        b.status,
        b.cv,
        b.holdout,
        b.stopped_after,
    ) and all(
        (x is None) == (y is None) and (x is None or np.array_equal(x.proba, y.proba))
        for x, y in ((a.out_of_fold, b.out_of_fold), (a.holdout_predictions, b.holdout_predictions))
    )


def test_a_candidate_without_a_gain_on_the_holdout_is_not_cross_validated(make):
    env = make()
    before, code = env.reset().evaluated, code_of(env, WORSE)
    fits = env.evaluator.fits
    stopped = env.run(code, before)
    assert (
        stopped.ok
        and not stopped.complete
        and stopped.stopped_after == 1
        and env.evaluator.fits == fits + 1
    )
    assert stopped.cv is None and stopped.out_of_fold is None
    assert stopped.holdout == env.run(code).holdout


def test_a_significant_gain_has_all_its_folds(make):
    env = make()
    before = env.reset().evaluated
    found = env.run(code_of(env, FOREST), before)
    assert found.complete and env.compare(before, found).significant
    assert len(found.out_of_fold) == len(env.task.development)


def test_the_first_fold_of_the_cross_validation_may_decide_the_t_test(make):
    env = make("corrected_resampled_t")
    before, code = env.reset().evaluated, code_of(env, WORSE)
    stopped, full = env.run(code, before), env.run(code)
    assert stopped.stopped_after == 1 and stopped.holdout is None and full.complete
    start, stop = env.evaluator.fold_bounds[0]
    assert np.array_equal(stopped.out_of_fold.proba, full.out_of_fold.proba[start:stop])
    assert stopped.cv == env.evaluator.scores(
        env.evaluator.out_of_fold_labels[start:stop], stopped.out_of_fold
    )
    assert env.compare(before, stopped).gain == pytest.approx(
        stopped.cv.score
        - env.evaluator.scores(env.evaluator.out_of_fold_labels[:stop], first(before, stop)).score
    )


def first(evaluated: Evaluated, rows: int):
    from marl_llm.environment.evaluated import some_rows

    return some_rows(evaluated.out_of_fold, 0, rows)


@pytest.mark.parametrize("significance", TESTS)
def test_stopping_does_not_change_a_decision(make, significance):
    stopping, whole = make(significance), make(significance, early_stop=False)
    before = whole.reset().evaluated
    assert same(before, stopping.reset().evaluated)
    stopped = 0
    for reply in PROPOSALS:
        code = code_of(whole, reply)
        early, full = stopping.run(code, before), whole.run(code, before)
        assert (
            stopping.compare(before, early).significant == whole.compare(before, full).significant
        )
        assert full.complete
        stopped += not early.complete
    assert stopped >= 3


@pytest.mark.parametrize("significance", TESTS)
def test_a_stopped_evaluation_goes_on_where_it_stopped(make, significance, tmp_path):
    env, undisturbed = make(significance, cache=str(tmp_path / "cache")), make(significance)
    before, code = env.reset().evaluated, code_of(env, WORSE)
    fits = env.evaluator.fits
    early = env.run(code, before)
    assert not early.complete
    other = make(significance, cache=str(tmp_path / "cache"))  # as another process would
    assert same(other.run(code, before), early) and other.evaluator.fits == 0
    assert same(other.run(code), undisturbed.run(code))
    assert (env.evaluator.fits - fits) + other.evaluator.fits == 4
    assert same(env.run(code, before), early) and env.run(code).complete


def test_it_is_off_by_default(make):
    env = make(early_stop=CONFIG.early_stop)
    assert not CONFIG.early_stop and env.run(code_of(env, WORSE), env.reset().evaluated).complete


def test_a_current_model_that_was_itself_stopped_decides_nothing(make):
    env = make()
    stopped = env.run(code_of(env, WORSE), env.reset().evaluated)
    assert not stopped.complete
    assert env.run(code_of(env, "tune C=0.9"), stopped).complete
    failed = Evaluated(Status.error, Stage.built, "no")
    assert env.run(code_of(env, "tune C=0.8"), failed).complete


def test_code_that_fails_in_its_first_fold_is_an_error_and_not_a_stop(make):
    env = make()
    found = env.run(code_of(env, WORSE).replace("est)", "model)"), env.reset().evaluated)
    assert not found.ok and found.stopped_after is None and "NameError" in found.error


@pytest.mark.parametrize("significance", TESTS)
def test_what_an_episode_accepts_has_all_its_folds_and_verdicts_stay_the_same(make, significance):
    verdicts = []
    for env in (make(significance), make(significance, early_stop=False)):
        state, found = env.reset(), []
        for reply in (WORSE, "propose_model est = GaussianNB()", FOREST):
            suggestion = env.read(state, reply)
            code = generate_code(suggestion.spec)
            outcome = env.judge(
                state, suggestion, Implementation(code, env.run(code, state.evaluated))
            )
            state = env.advance(state, outcome)
            found.append((outcome.verdict, outcome.compliance))
            assert state.evaluated.complete
        verdicts.append(found)
    assert verdicts[0] == verdicts[1]


def test_a_gain_that_was_not_asked_for_is_compared_with_all_folds_of_the_reference(make):
    env = make()
    state = env.reset()
    suggestion, forest = env.read(state, WORSE), code_of(env, FOREST)
    assert not env.reference(suggestion.spec, state.evaluated).complete
    outcome = env.judge(state, suggestion, Implementation(forest, env.run(forest, state.evaluated)))
    assert outcome.verdict is Verdict.not_as_asked and outcome.reference.complete


def test_threads_that_ask_for_the_same_code_at_once_fit_each_fold_once(make):
    env = make()
    before, code = env.reset().evaluated, code_of(env, WORSE)
    fits = env.evaluator.fits
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda i: env.run(code, before if i % 2 else None), range(6)))
    assert env.evaluator.fits - fits == 4 and sum(one.complete for one in found) >= 3


@pytest.mark.parametrize("significance", TESTS)
def test_the_report_counts_folds_and_decisions_of_each_candidate(sandbox, tmp_path, significance):
    setting = Setting(significance, 3, 0.02)
    decided = list(
        walk(
            small_task(Kind.binary),
            sandbox,
            setting.config(tmp_path / "cache"),
            proposals=4,
            seed=2,
        )
    )
    found = summarise(setting, decided)
    assert found.candidates == len(decided) == 4 and found.false_gains == 0
    assert all(one.gain == one.full_gain and 1 <= one.fits <= one.all_fits == 4 for one in decided)
    saved = 1 - sum(one.fits for one in decided) / 16
    assert found.fits_saved.mean == pytest.approx(saved) and saved > 0.3
    assert all((one.fits == 4) == one.full_gain for one in decided) or significance == TESTS[1]
    assert f"{saved:.1%}" in table([found])


@pytest.mark.parametrize(("events", "trials"), [(0, 192), (3, 192), (5, 5)])
def test_intervals_of_changed_decisions_are_those_of_scipy(events, trials):
    exact = binomtest(events, trials).proportion_ci(method="exact")
    assert clopper_pearson(events, trials) == pytest.approx((exact.low, exact.high))
