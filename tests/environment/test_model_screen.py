"""`analyze models`: what is screened, on which rows, within which time, and what it saves later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from marl_llm.core.kind import Kind
from marl_llm.environment import TeamEnv, model_screen
from marl_llm.environment.delivery import distinct
from marl_llm.environment.evaluated import some_rows
from marl_llm.environment.evaluator import Evaluator
from marl_llm.environment.fold_runner import KeyedFold
from marl_llm.environment.model_screen import ModelScreen, Screened, screen_models
from marl_llm.proposals import Analyze, PipelineSpec, compile, generate_code
from marl_llm.proposals.screened import SIX, screened_specs
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from marl_llm.tasks.parts import Part
from tests.environment.test_small_classes import task_of
from tests.fixtures import CONFIG, context, small_task

LINEAR, BAYES = PipelineSpec(estimator="LogisticRegression"), PipelineSpec(estimator="GaussianNB")
TREE = PipelineSpec(estimator="DecisionTreeClassifier", params=(("max_depth", 3),))
MODELS = Analyze(query="models")


def screened(env: TeamEnv, *specs: PipelineSpec, seed: int = 0, **options) -> ModelScreen:
    return screen_models(env.evaluator, specs, env.config, env._sandbox.limits, 2, seed, **options)


def findings(screen: ModelScreen) -> list[tuple[str, float | None, float]]:
    return [(one.spec.estimator, one.score, one.spread) for one in screen.found]


@pytest.fixture
def make(sandbox: Sandbox) -> Iterator:
    """Makes environments, and closes them."""
    made: list[TeamEnv] = []

    def one(task: Task | None = None, **changes) -> TeamEnv:
        made.append(
            TeamEnv(task or small_task(Kind.binary), sandbox, CONFIG.model_copy(update=changes))
        )
        return made[-1]

    yield one
    for env in made:
        env.close()


@pytest.fixture(scope="module")
def whole(sandbox: Sandbox) -> Iterator[TeamEnv]:
    """One environment that screened all families."""
    env = TeamEnv(small_task(Kind.binary), sandbox, CONFIG)
    env.screen()
    yield env
    env.close()


@pytest.mark.parametrize("kind", list(Kind))
def test_the_families_are_distinct_solutions_that_can_be_built_and_the_usual_ones_come_first(
    kind: Kind,
):
    specs = screened_specs(context(kind))
    assert len(specs) >= 8 and distinct(specs) == specs
    assert screened_specs(context(kind), SIX) == specs[:SIX]
    assert all(
        compile(spec) is not None and spec.classifier == kind.is_classification for spec in specs
    )


def test_what_is_too_slow_for_the_rows_is_not_screened():
    def names(rows: int) -> set[str]:
        return {spec.estimator for spec in screened_specs(replace(context(Kind.binary), rows=rows))}

    assert names(3000) - names(300_000) >= {"SVC", "MLPClassifier"}
    assert "HistGradientBoostingClassifier" in names(300_000)


def test_families_are_ranked_by_the_mean_of_their_folds_with_the_spread_between_them(
    whole: TeamEnv,
):
    screen, evaluator = whole.screen(), whole.evaluator
    scores = [one.score for one in screen.ranked]
    assert len(scores) >= 8 and scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    for one in screen.ranked[:3]:
        found = evaluator.evaluate(generate_code(one.spec)).out_of_fold
        assert found is not None
        by_fold = [
            evaluator.scores(evaluator.out_of_fold_labels[a:b], some_rows(found, a, b)).score
            for a, b in evaluator.fold_bounds
        ]
        assert one.score == pytest.approx(np.mean(by_fold)) and one.spread == pytest.approx(
            np.std(by_fold)
        )


def test_the_data_scientist_reads_the_best_families_as_it_would_propose_them(whole: TeamEnv):
    told = whole.analyze(whole.reset(), MODELS)
    best = whole.screen().ranked[0]
    assert (
        told.startswith(f"models: {best.spec.estimator}(")
        and f"{best.score:.2f} sd {best.spread:.2f}" in told
    )
    assert told == "models: " + "; ".join(whole.screen().lines(told.count(";") + 1))
    assert "SVC" not in told  # calibrated: its call alone would not give it


def test_the_screening_is_done_once(whole: TeamEnv):
    state, fits, found = whole.reset(), whole.evaluator.fits, whole.screen()
    whole.analyze(state, MODELS)
    assert whole.screen() is found and whole.evaluator.fits == fits


@pytest.mark.parametrize("significance", ["paired_bootstrap", "corrected_resampled_t"])
def test_on_small_data_a_later_proposal_fits_nothing_again(make, significance: str):
    env = make(significance=significance)
    screened(env, BAYES, TREE)
    assert env.evaluator.fits == 2 * 2
    assert env.evaluate(BAYES).complete
    assert env.evaluator.fits == 2 * 2 + 1  # the hold-out


def test_no_row_of_the_holdout_or_the_test_part_is_read(make):
    task, rng = small_task(Kind.binary), np.random.default_rng(1)
    other = replace(
        task,
        holdout=Part(task.holdout.X.iloc[::-1], rng.permutation(1 - task.holdout.y)),
        test=Part(task.test.X.iloc[::-1], rng.permutation(1 - task.test.y)),
    )
    for rows in (3000, 100):
        first, second = (
            screened(make(one, screen_rows=rows), LINEAR, TREE) for one in (task, other)
        )
        assert findings(first) == findings(second)


class Watched(Evaluator):
    """Remembers which rows it made folds of."""

    def fold_of(self, train: np.ndarray, valid: np.ndarray) -> tuple[KeyedFold, np.ndarray]:
        made = super().fold_of(train, valid)
        self.made = [*getattr(self, "made", []), (train, valid, made[0])]
        return made


def test_larger_data_is_screened_on_a_sample_that_is_let_go(sandbox: Sandbox):
    task = small_task(Kind.binary)
    config = CONFIG.model_copy(update={"screen_rows": 100})
    drawn, results = [], []
    for seed in (0, 0, 1):
        evaluator = Watched(task, sandbox, config)
        results.append(
            findings(screen_models(evaluator, [LINEAR, TREE], config, sandbox.limits, 2, seed))
        )
        for train, valid, _ in evaluator.made:
            assert not set(train) & set(valid) and len(train) + len(valid) == 100
            assert max(*train, *valid) < len(task.development)
        drawn.append({int(row) for train, valid, _ in evaluator.made for row in (*train, *valid)})
        with pytest.raises(ValueError, match="closed"):
            _ = evaluator.made[0][2].fold.train
        evaluator.close()
    assert results[0] == results[1] != results[2] and drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 100


def slow(monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> None:
    """Make one family slow."""
    waiting = f"def build_pipeline():\n    import time\n    time.sleep({seconds})"

    def code(spec: PipelineSpec) -> str:
        plain = generate_code(spec)
        return plain.replace("def build_pipeline():", waiting) if spec.estimator == name else plain

    monkeypatch.setattr(model_screen, "generate_code", code)


def test_a_slow_family_is_cut_at_the_time_limit_and_the_others_are_ranked(make, monkeypatch):
    env = make(screen_s=6)
    slow(monkeypatch, "GaussianNB", 600)
    begun = time.monotonic()
    screen = screened(env, LINEAR, BAYES, TREE)
    assert time.monotonic() - begun < 60
    assert sorted(one.spec.estimator for one in screen.ranked) == [TREE.estimator, LINEAR.estimator]
    assert screen.found[-1].spec == BAYES and screen.found[-1].line() == "GaussianNB() out of time"


def test_what_was_cut_at_the_tight_limit_still_has_the_usual_time_later(make, monkeypatch):
    env = make(screen_s=1)
    slow(monkeypatch, "GaussianNB", 3)
    assert screened(env, BAYES).ranked == ()
    code = model_screen.generate_code(BAYES)
    found = env.run(code)
    assert found.complete, found.error
    assert env.evaluator.cpu_seconds >= found.cpu_seconds


def test_a_spent_budget_leaves_out_the_rest(make):
    asked: list[int] = []

    def enough() -> bool:
        asked.append(1)
        return len(asked) > 1

    screen = screen_models(
        make().evaluator, [TREE, LINEAR, BAYES], CONFIG, make()._sandbox.limits, 1, 0, enough
    )
    assert [one.spec for one in screen.ranked] == [TREE]
    assert {one.problem for one in screen.found[1:]} == {"left out: no time"}


def test_data_on_which_every_family_fails_give_one_sentence_and_no_lines(make, monkeypatch):
    env = make()
    monkeypatch.setattr(
        model_screen, "generate_code", lambda spec: "def build_pipeline():\n    return 1 / 0"
    )
    state = env.look(env.reset())
    told = env.analyze(state, MODELS)
    assert (
        told
        == f"models: none of {len(screened_specs(context(Kind.binary)))} families runs on this "
        "data (fails)"
    )
    assert env.screen().lines(5) == () and env.within_reach() == []
    assert [one.spec for one in env.tried(state)] == [state.spec]
    assert ModelScreen(()).told(5) == ("no family fits",)


def test_classes_of_a_few_rows_can_be_screened_whole_and_on_a_sample(make):
    for rows in (3000, 60):
        env = make(task_of(80, 60, 1, 2), screen_rows=rows, cv_folds=3)
        screen = screened(env, LINEAR, BAYES, TREE)
        assert len(screen.ranked) == 3 and all(
            np.isfinite([one.score, one.spread]).all() for one in screen.ranked
        )  # type: ignore[list-item]


def test_regression_is_screened_too(regression_env: TeamEnv):
    screen = screened(regression_env, *screened_specs(context(Kind.regression), 4))
    assert len(screen.ranked) == 4 and screen.seconds > 0


def test_a_line_names_preparation_where_it_is_not_the_baselines():
    one = Screened(TREE.model_copy(update={"encode": "one_hot"}), 0.5, 0.125, 1.0)
    assert one.line() == "DecisionTreeClassifier(max_depth=3) one_hot 0.50 sd 0.12"
