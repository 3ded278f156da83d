"""Scores mean what they say: a gain is a difference of scores, nothing is below -1, thresholds are
respected.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import default_metrics, metrics_for
from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Reference, paired_bootstrap, score_predictions
from tests.metrics.given import classified


def test_recall_from_080_to_092_is_a_gain_of_012() -> None:
    y = np.ones(100, dtype=np.int64)
    y[:50] = 0
    reference = Reference.from_labels(y, Kind.binary, 2)

    def recall(hits: int) -> float:
        labels = y.copy()
        labels[50 + hits :] = 0
        return score_predictions({"recall": 1.0}, y, Predictions(labels), reference).score

    assert recall(46) - recall(40) == pytest.approx(0.12)


def test_a_comparison_of_recall_080_with_092_reports_a_gain_of_012() -> None:
    y = np.repeat([0, 1], 50)
    before, after = y.copy(), y.copy()
    before[90:], after[96:] = 0, 0
    reference = Reference.from_labels(y, Kind.binary, classes=("no", "yes"))
    for name in ("recall", "recall[yes]"):
        found = paired_bootstrap({name: 1.0}, y, Predictions(before), Predictions(after), reference)
        assert found.gain == pytest.approx(0.12) and found.significant


def test_a_tuned_threshold_changes_class_metrics_and_leaves_probability_metrics_alone() -> None:
    X, y = map(
        np.asarray,
        make_classification(600, weights=[0.9], flip_y=0.05, class_sep=0.8, random_state=0),
    )
    plain = LogisticRegression().fit(X[:400], y[:400])
    tuned = TunedThresholdClassifierCV(LogisticRegression(), scoring="f1", cv=3).fit(
        X[:400], y[:400]
    )
    reference = Reference.from_labels(y[:400], Kind.binary, 2)
    metrics = dict.fromkeys(metrics_for(Kind.binary), 1.0)
    before, after = (
        score_predictions(
            metrics,
            y[400:],
            Predictions(model.predict(X[400:]), model.predict_proba(X[400:])),
            reference,
        ).raw
        for model in (plain, tuned)
    )
    same = {name for name in metrics if before[name] == pytest.approx(after[name], abs=1e-9)}
    of_probabilities = {
        "neg_log_loss",
        "neg_brier_score",
        "d2_log_loss_score",
        "d2_brier_score",
        "average_precision",
    }
    assert same == of_probabilities | {name for name in metrics if name.startswith("roc_auc")}
    assert after["recall"] > before["recall"] + 0.1 and after["f1"] > before["f1"]


def test_score_is_the_weighted_mean_of_skills() -> None:
    y, predictions = classified(3, 80, 2)
    scores = score_predictions(
        {"accuracy": 3.0, "neg_log_loss": 1.0},
        y,
        predictions,
        Reference.from_labels(y, Kind.binary, 2),
    )
    assert scores.score == pytest.approx(
        (3 * scores.skills["accuracy"] + scores.skills["neg_log_loss"]) / 4
    )
    assert scores.raw["neg_log_loss"] < 0 < scores.skills["neg_log_loss"]


@given(st.integers(0, 10_000), st.sampled_from(["neg_log_loss", "neg_brier_score"]))
@settings(max_examples=40, deadline=None)
def test_moving_probability_to_the_truth_never_lowers_the_skill(seed: int, name: str) -> None:
    y, predictions = classified(seed, 40, 3)
    assert predictions.proba is not None
    better = Predictions(predictions.labels, 0.9 * predictions.proba + 0.1 * np.eye(3)[y])
    reference = Reference.from_labels(y, Kind.multiclass, 3)
    assert (
        score_predictions({name: 1}, y, better, reference).score
        >= score_predictions({name: 1}, y, predictions, reference).score
    )


@given(st.integers(0, 10_000), st.integers(0, 38))
@settings(max_examples=40, deadline=None)
def test_correcting_one_label_never_lowers_accuracy_based_skills(seed: int, row: int) -> None:
    y, predictions = classified(seed, 40, 3)
    corrected = predictions.labels.copy()
    corrected[row] = y[row]
    metrics = {"accuracy": 1.0, "recall_macro": 1.0, "balanced_accuracy": 1.0}
    reference = Reference.from_labels(y, Kind.multiclass, 3)
    before = score_predictions(metrics, y, Predictions(predictions.labels), reference).skills
    after = score_predictions(metrics, y, Predictions(corrected), reference).skills
    assert all(after[name] >= before[name] for name in metrics)


def test_confident_nonsense_is_floored_at_minus_one() -> None:
    y = np.array([0, 1] * 20)
    wrong = score_predictions(
        default_metrics(Kind.binary),
        y,
        Predictions(1 - y),
        Reference.from_labels(y, Kind.binary, 2),
    )
    assert wrong.skills["neg_log_loss"] == -1.0
    assert wrong.raw["neg_log_loss"] < -30
    numbers = y.astype(float)
    absurd = Predictions(np.full(40, 1e300))
    floored = score_predictions(
        default_metrics(Kind.regression),
        numbers,
        absurd,
        Reference.from_labels(numbers, Kind.regression),
    )
    assert set(floored.skills.values()) == {-1.0}
    assert all(np.isfinite(value) for value in floored.raw.values())


def test_metrics_and_tasks_import_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, marl_llm.metrics, marl_llm.tasks; print([m for m in ('torch', 'sklearn') if "
        "m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
