from __future__ import annotations

import numpy as np
import pytest

from marl_llm.core.kind import Kind
from marl_llm.environment import EnvironmentConfig, Evaluator
from marl_llm.environment.fold_runner import FoldRunner
from marl_llm.proposals import baseline, generate_code
from marl_llm.sandbox import Fold, Sandbox, Stage
from marl_llm.sandbox.encode import Block
from tests.fixtures import small_task

CODE = generate_code(baseline(Kind.binary))


@pytest.fixture
def evaluator(sandbox: Sandbox):
    made = Evaluator(small_task(Kind.binary), sandbox, EnvironmentConfig(cv_folds=2))
    yield made
    made.close()


def test_layout_and_comments_do_not_make_a_new_run(evaluator):
    first = evaluator.evaluate(CODE)
    again = evaluator.evaluate("# the same\n\n" + CODE.replace("num, NUM", "num,   NUM") + "\n")
    assert first.ok and again is first
    assert (evaluator.runs, evaluator.hits) == (1, 1)
    evaluator.evaluate(CODE.replace("LogisticRegression()", "GaussianNB()"))
    assert evaluator.runs == 2


def test_a_fit_is_charged_once_and_one_from_the_cache_as_when_it_was_run(
    sandbox: Sandbox, tmp_path
):
    config, costs = EnvironmentConfig(cv_folds=2, cache=str(tmp_path / "cache.sqlite")), []
    for runs in (1, 0):
        evaluator = Evaluator(small_task(Kind.binary), sandbox, config)
        result = evaluator.evaluate(CODE)
        evaluator.cross_validate(CODE)
        assert evaluator.cpu_seconds == pytest.approx(result.cpu_seconds) and evaluator.runs == runs
        costs.append(evaluator.cpu_seconds)
        evaluator.close()
    assert costs[0] == costs[1] > 0


def test_code_that_does_not_parse_is_answered_without_a_run(evaluator):
    result = evaluator.evaluate(CODE.replace("LogisticRegression()", "LogisticRegression("))
    assert not result.ok and result.stage is Stage.none and evaluator.runs == 0
    assert result.error.startswith("SyntaxError: ") and "line" in result.error


def test_failing_code_comes_back_as_one_short_line(evaluator):
    result = evaluator.evaluate(CODE.replace("est)", "model)"))
    assert not result.ok and result.error == "NameError: name 'model' is not defined (line 9)"
    assert result.stage is Stage.parsed


def test_neither_holdout_nor_test_labels_are_given_to_the_sandbox(sandbox, monkeypatch):
    task, given = small_task(Kind.regression), []
    prepare = Fold.prepare.__func__

    def spy(cls, X_train, y_train, X_valid, **options):
        given.append((X_train, y_train, X_valid))
        return prepare(cls, X_train, y_train, X_valid, **options)

    monkeypatch.setattr(Fold, "prepare", classmethod(spy))
    evaluator = Evaluator(task, sandbox, EnvironmentConfig(cv_folds=2))
    evaluator.evaluate(generate_code(baseline(Kind.regression)))
    hidden = set(task.holdout.y) | set(task.test.y)
    assert len(given) == 3
    for X_train, y_train, X_valid in given:
        assert not hidden & set(y_train)
        assert list(X_train) == list(X_valid) == [c.alias for c in task.columns]
        assert not any(hidden & set(X[c]) for X in (X_train, X_valid) for c in X)
    evaluator.test_scores(baseline(Kind.regression))
    assert not set(task.test.y) & set(given[-1][1])
    evaluator.close()


def test_code_that_an_agent_wrote_never_holds_labels_of_the_holdout(sandbox, monkeypatch):
    task, seen = small_task(Kind.regression), []
    run = FoldRunner.run

    def spy(self, candidate, fold, **options):
        seen.append((candidate.code, set(_labels(fold.fold.train))))
        return run(self, candidate, fold, **options)

    monkeypatch.setattr(FoldRunner, "run", spy)
    evaluator = Evaluator(task, sandbox, EnvironmentConfig(cv_folds=2))
    spec = baseline(Kind.regression)
    written = "# an agent's\n" + generate_code(spec)
    evaluator.evaluate(written)
    evaluator.cross_validate(written)
    evaluator.agree_elsewhere(written, written)
    evaluator.test_scores(spec)
    evaluator.close()
    holdout = set(task.holdout.y)
    assert [code for code, labels in seen if holdout & labels] == [generate_code(spec)]
    assert any(code == written for code, _ in seen)


def _labels(block: Block) -> np.ndarray:
    start = block.layout.sizes[0]
    return np.frombuffer(block.content[start : start + block.layout.sizes[1]], "<f8")


def test_scores_are_those_of_scikit_learn_on_the_same_predictions(evaluator):
    from sklearn.metrics import f1_score, log_loss

    result, task = evaluator.evaluate(CODE), evaluator.task
    labels, proba = result.holdout_predictions.labels, result.holdout_predictions.proba
    assert result.holdout.raw["f1_macro"] == pytest.approx(
        f1_score(task.holdout.y, labels, average="macro")
    )
    assert result.holdout.raw["neg_log_loss"] == pytest.approx(-log_loss(task.holdout.y, proba))
    rows = evaluator.out_of_fold_labels
    assert result.cv.raw["f1_macro"] == pytest.approx(
        f1_score(rows, result.out_of_fold.labels, average="macro")
    )


def test_predictions_come_back_in_the_order_of_the_rows(evaluator):
    from marl_llm.proposals import compile

    task = evaluator.task
    fitted = compile(baseline(Kind.binary)).fit(task.development.X, task.development.y)
    here = fitted.predict_proba(task.holdout.X)
    np.testing.assert_allclose(evaluator.evaluate(CODE).holdout_predictions.proba, here, atol=1e-4)


def test_fold_bounds_follow_the_folds_even_where_they_differ_in_size(sandbox):
    task = small_task(Kind.regression)
    evaluator = Evaluator(task, sandbox, EnvironmentConfig(cv_folds=7))
    assert len(task.development) % 7
    sizes = [len(valid) for _, valid in task.cv_folds(7, 0)]
    assert [b - a for a, b in evaluator.fold_bounds] == sizes
    for (a, b), (_, valid) in zip(evaluator.fold_bounds, task.cv_folds(7, 0), strict=True):
        np.testing.assert_array_equal(evaluator.out_of_fold_labels[a:b], task.development.y[valid])
    evaluator.close()
