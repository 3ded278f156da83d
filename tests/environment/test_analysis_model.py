"""Answers about the current model, against independent numbers and on planted weaknesses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, confusion_matrix

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.environment.analysis import AnalysisView
from marl_llm.proposals import baseline
from marl_llm.sandbox import Evaluation, Stage, Status
from tests.environment.analysed import MODEL_QUERIES, ask, made_task, one_hot, plain_task, viewed

RNG = np.random.default_rng(0)


def numbers(text: str) -> list[float]:
    """The numbers of an item."""
    return [
        float(word) for word in text.split() if word.replace(".", "").replace("-", "").isdigit()
    ]


@pytest.mark.parametrize("query", MODEL_QUERIES)
def test_without_a_model_there_is_a_sentence(query):
    assert ask(query, AnalysisView(plain_task(Kind.binary))) in (
        "no predictions yet",
        "there is no current model",
    )


def test_confusion_is_scikit_learns_for_the_six_largest_classes():
    y = RNG.choice(9, 600, p=[0.02, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.03])
    predicted = np.where(RNG.random(600) < 0.7, y, RNG.choice(9, 600))
    task = replace(
        made_task({"x0": RNG.normal(size=600)}, y, Kind.multiclass), classes=tuple("abcdefghi")
    )
    head, *rows = ask("confusion", viewed(task, one_hot(predicted, 9))).split("; ")
    largest = sorted(np.argsort(-np.bincount(y))[:6])
    names = [task.classes[c] for c in largest]
    assert head == f"rows true, columns predicted: {' '.join(names)} others"
    matrix = confusion_matrix(y, predicted)
    for c, row in zip(largest, rows, strict=True):
        others = matrix[c].sum() - matrix[c, largest].sum()
        assert row.split() == [task.classes[c], *map(str, matrix[c, largest]), str(others)]


def test_class_names_of_several_words_keep_the_matrix_readable():
    task = made_task({"x0": np.zeros(4)}, np.array([0, 0, 1, 1]))
    told = ask("confusion", viewed(task, one_hot(np.array([0, 1, 1, 1]), 2)))
    assert told == "rows true, columns predicted: class_0 class_1; class_0 1 1; class_1 0 2"
    assert "no confusion matrix" in ask(
        "confusion", viewed(plain_task(Kind.regression), Predictions(np.zeros(480)))
    )


def test_binary_calibration_agrees_with_scikit_learn():
    said = RNG.random(500)
    y = (RNG.random(500) < said**2).astype(int)
    predictions = Predictions((said > 0.5).astype(int), np.column_stack([1 - said, said]))
    told = ask("calibration", viewed(made_task({"x0": said}, y), predictions))
    head, _, items = told.partition(": ")
    true, mean = calibration_curve(y, said, n_bins=5)
    shown = np.array([numbers(item) for item in items.split("; ")])
    assert shown[:, 0] == pytest.approx(mean, abs=0.006)
    assert shown[:, 1] == pytest.approx(true, abs=0.006)
    assert shown[:, 2].sum() == 500
    error = (np.abs(true - mean) * shown[:, 2]).sum() / 500
    assert head == f"probability of class 1, calibration error {error:.3f}"


def test_multiclass_calibration_is_of_the_predicted_class():
    y = RNG.choice(3, 300)
    proba = np.full((300, 3), 0.1)
    proba[np.arange(300), np.where(np.arange(300) % 4 == 0, (y + 1) % 3, y)] = 0.8
    told = ask(
        "calibration",
        viewed(made_task({"x0": proba[:, 0]}, y, Kind.multiclass), Predictions(y, proba)),
    )
    assert told == "probability of the class predicted, calibration error 0.050: 0.80 is 0.75 n 300"


def test_calibration_of_a_regression_compares_means_by_fifth():
    y = np.arange(100.0)
    told = ask(
        "calibration",
        viewed(made_task({"x0": y}, y, Kind.regression), Predictions(2 * y[::-1].copy())),
    )
    assert told.startswith(
        "by fifth, mean prediction and truth: 19 is 89.5 n 20; 59 is 69.5 n 20; "
    )


def test_the_worst_segment_is_found_and_small_ones_are_left_out():
    words = np.array(["a", "b", "c", "d"], dtype=object)[np.arange(400) % 4]
    words[:19] = "rare"
    number, gap = RNG.normal(size=400), np.where(RNG.random(400) < 0.1, np.nan, 1.0)
    y = RNG.choice(2, 400)
    wrong = (words == "c") & (RNG.random(400) < 0.8) | (words == "rare") | (RNG.random(400) < 0.05)
    task = made_task({"x0": number, "x1": words, "x2": gap}, y)
    told = ask("segments", viewed(task, one_hot(np.where(wrong, 1 - y, y), 2)))
    inside = words == "c"
    assert told.startswith(
        f"share wrong {wrong.mean():.3g}, clearly worse: x1 c {wrong[inside].mean():.3g} n "
        f"{inside.sum()}"
    )
    assert "rare" not in told
    assert "c" not in ask("segments", viewed(task, one_hot(y, 2))).partition("worse: ")[2].replace(
        "clearly", ""
    )


def test_segments_of_a_regression_see_gaps_and_quarters():
    x = RNG.normal(size=400)
    gap = np.where(np.arange(400) % 8 == 0, np.nan, 1.0)
    y = RNG.normal(size=400)
    residual = 0.1 * RNG.normal(size=400) + 5 * (x > np.quantile(x, 0.75)) + 5 * np.isnan(gap)
    told = ask(
        "segments",
        viewed(made_task({"x0": x, "x1": gap}, y, Kind.regression), Predictions(y + residual)),
    )
    first, second = told.partition("worse: ")[2].split("; ")[:2]
    assert {first[:5], second[:10]} == {"x0 q4", "x1 missing"}
    assert first.endswith("n 100")


def fitting(model):
    """`fit_predict` in this process."""

    def fit_predict(X_train, y_train, X_valid):
        fitted = model.fit(X_train, y_train)
        predictions = Predictions(fitted.predict(X_valid), fitted.predict_proba(X_valid))
        return Evaluation(Status.ok, Stage.predicted, (predictions,), "", None, 0.0, 0.0, "none")

    return fit_predict


def accuracy(y, predictions):
    return accuracy_score(y, predictions.labels)


def test_importance_agrees_with_scikit_learn():
    X = {f"x{i}": RNG.normal(size=900) for i in range(4)}
    y = (X["x0"] + 0.5 * X["x1"] > 0).astype(int)
    task = made_task(X, y)
    model = RandomForestClassifier(30, random_state=0)
    told = ask("importance", viewed(task, fit_predict=fitting(model), score=accuracy))
    head, _, items = told.partition(": ")
    assert head.endswith("on 900 rows falls by")
    falls = dict(zip(items.split()[::2], map(float, items.split()[1::2]), strict=True))
    assert list(falls)[:2] == ["x0", "x1"]
    frame = task.development.X
    expected = permutation_importance(
        model.fit(frame[:600], y[:600]), frame[600:], y[600:], n_repeats=10
    )
    for i, fall in enumerate(expected["importances_mean"]):
        assert falls[f"x{i}"] == pytest.approx(fall, abs=0.05)


def test_importance_predicts_no_more_rows_than_it_may_and_leaves_out_dropped_columns():
    seen = []

    def fit_predict(X_train, y_train, X_valid):
        seen.append((len(X_train), len(X_valid)))
        assert [dtype.kind for dtype in X_valid.dtypes] == [dtype.kind for dtype in X_train.dtypes]
        predictions = one_hot(np.zeros(len(X_valid), int), 2)
        return Evaluation(Status.ok, Stage.predicted, (predictions,), "", None, 0.0, 0.0, "none")

    X = {f"x{i}": RNG.normal(size=5000) for i in range(60)}
    X["x60"] = np.array(["a", np.nan], dtype=object)[np.arange(5000) % 2]
    spec = baseline(Kind.binary).with_drop(["x0"])
    view = viewed(
        made_task(X, RNG.choice(2, 5000)),
        fit_predict=fit_predict,
        score=accuracy,
        spec=spec,
        budget=999,
    )
    told = ask("importance", view)
    assert len(seen) == 1
    assert seen[0][0] < 2000
    assert seen[0][1] <= 41_000
    assert "x0 " not in told
    assert told.count(" 0.000") == 60
    assert ask("importance", view, "x0") == "the current model uses none of these columns"


def test_a_model_that_cannot_be_fitted_is_said_in_one_sentence():
    def fit_predict(X_train, y_train, X_valid):
        return Evaluation(
            Status.timeout, Stage.built, (), "the time limit was reached", None, 9.0, 9.0, "none"
        )

    view = viewed(plain_task(Kind.binary), fit_predict=fit_predict, score=accuracy)
    assert (
        ask("importance", view)
        == "the current model could not be fitted: the time limit was reached"
    )


def test_segments_of_many_rows_are_found_in_a_sample():
    words = np.array(["a", "b"], dtype=object)[np.arange(25_000) % 2]
    view = viewed(
        made_task({"x0": words}, np.arange(25_000) % 2), one_hot(np.zeros(25_000, int), 2)
    )
    told = ask("segments", view)
    assert told.startswith("of 20000 rows share wrong 0.5")
    assert told == ask("segments", view)
    assert " x0 b 1 n " in told
