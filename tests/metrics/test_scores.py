"""Raw metrics equal scikit-learn's, also under row weights; skills mean what design section 2 says."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from marl_llm.kind import Kind
from marl_llm.metrics import Reference, default_metrics, metrics_for, score_predictions
from marl_llm.metrics.rows import Rows
from marl_llm.metrics.weighted import raw_values
from marl_llm.predictions import Predictions

_COUNT_BASED: dict[str, Callable[..., float]] = {
    "f1": sk.f1_score,
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "jaccard": sk.jaccard_score,
}
_REGRESSION: dict[str, Callable[..., float]] = {
    "r2": sk.r2_score,
    "explained_variance": sk.explained_variance_score,
    "neg_root_mean_squared_error": sk.root_mean_squared_error,
    "neg_mean_squared_error": sk.mean_squared_error,
    "neg_mean_absolute_error": sk.mean_absolute_error,
    "neg_median_absolute_error": sk.median_absolute_error,
    "neg_mean_absolute_percentage_error": sk.mean_absolute_percentage_error,
}


def classified(seed: int, n: int, n_classes: int, sharpness: float = 1.0) -> tuple[np.ndarray, Predictions]:
    """Labels with every class, and predictions that know something; probabilities are rounded so that ties occur."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    logits = rng.normal(size=(n, n_classes)) + sharpness * np.eye(n_classes)[y]
    proba = np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 2) + 1e-3
    proba /= proba.sum(axis=1, keepdims=True)
    return y, Predictions(proba.argmax(axis=1), proba)


def by_scikit_learn(
    name: str, y: np.ndarray, labels: np.ndarray, proba: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """The same number from scikit-learn's functions."""
    K = proba.shape[1]
    positive = proba[:, 1] if K == 2 else proba
    base, _, average = name.partition("_")
    if base in _COUNT_BASED:
        return _COUNT_BASED[base](y, labels, average=average or "binary", zero_division=0, sample_weight=weight)
    if name.startswith("roc_auc"):
        options = (
            {"multi_class": name.split("_")[2], "average": "weighted" if name.endswith("weighted") else "macro"}
            if K > 2
            else {}
        )
        return float(sk.roc_auc_score(y, positive, sample_weight=weight, **options))
    functions: dict[str, Callable[[], float]] = {
        "accuracy": lambda: sk.accuracy_score(y, labels, sample_weight=weight),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, labels, sample_weight=weight),
        "matthews_corrcoef": lambda: sk.matthews_corrcoef(y, labels, sample_weight=weight),
        "average_precision": lambda: sk.average_precision_score(y, positive, sample_weight=weight),
        "neg_log_loss": lambda: -sk.log_loss(y, proba, sample_weight=weight, labels=range(K)),
        "neg_brier_score": lambda: -sk.brier_score_loss(y, proba, sample_weight=weight, labels=range(K)),
    }
    return functions[name]()


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("sharpness", [0.0, 1.5])
def test_raw_classification_metrics_equal_scikit_learn(n_classes: int, sharpness: float) -> None:
    kind = Kind.binary if n_classes == 2 else Kind.multiclass
    y, predictions = classified(n_classes, 157, n_classes, sharpness)
    assert predictions.proba is not None
    scores = score_predictions(
        dict.fromkeys(metrics_for(kind), 1.0), y, predictions, Reference.from_labels(y, kind, n_classes)
    )
    for name, value in scores.raw.items():
        assert value == pytest.approx(by_scikit_learn(name, y, predictions.labels, predictions.proba), abs=1e-12), name


@pytest.mark.parametrize("n_classes", [2, 4])
def test_weighted_metrics_equal_scikit_learn_with_sample_weight(n_classes: int) -> None:
    kind = Kind.binary if n_classes == 2 else Kind.multiclass
    y, predictions = classified(11, 120, n_classes)
    assert predictions.proba is not None
    weights = np.random.default_rng(0).integers(1, 4, (3, 120)).astype(float)
    names = [
        name for name in metrics_for(kind) if not name.startswith("roc_auc_ovo")
    ]  # scikit-learn has no weights there
    found = raw_values(names, Rows(y, predictions.labels, predictions.proba), weights)
    for name in names:
        expected = [by_scikit_learn(name, y, predictions.labels, predictions.proba, weight) for weight in weights]
        assert found[name] == pytest.approx(expected, abs=1e-12), name


def test_whole_weights_are_repeated_rows_for_every_metric() -> None:
    counts = np.random.default_rng(1).integers(0, 3, 90)
    y, predictions = classified(5, 90, 3)
    assert predictions.proba is not None
    drawn = np.repeat(np.arange(90), counts)
    rows = Rows(y, predictions.labels, predictions.proba)
    repeated = Rows(y[drawn], predictions.labels[drawn], predictions.proba[drawn])
    numbers = Rows(predictions.proba[:, 0] * 7, predictions.proba[:, 1] * 5, np.empty((90, 0)))
    repeated_numbers = Rows(numbers.y[drawn], numbers.labels[drawn], np.empty((len(drawn), 0)))
    for kind, one, other in ((Kind.multiclass, rows, repeated), (Kind.regression, numbers, repeated_numbers)):
        weighted = raw_values(metrics_for(kind), one, counts[None].astype(float))
        plain = raw_values(metrics_for(kind), other, np.ones((1, len(drawn))))
        for name in metrics_for(kind):
            assert weighted[name] == pytest.approx(plain[name], abs=1e-12), name


@pytest.mark.parametrize("seed", [0, 1])
def test_raw_regression_metrics_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.lognormal(size=101 + seed) * 50
    predictions = Predictions(y + rng.normal(size=len(y)) * 20)
    scores = score_predictions(
        dict.fromkeys(_REGRESSION, 1.0), y, predictions, Reference.from_labels(y, Kind.regression)
    )
    for name, function in _REGRESSION.items():
        sign = -1 if name.startswith("neg_") else 1
        assert scores.raw[name] == pytest.approx(sign * function(y, predictions.labels), rel=1e-12), name


def test_a_class_that_nobody_predicts_counts_zero_as_in_scikit_learn() -> None:
    y = np.array([0] * 20 + [1] * 3 + [2] * 2)
    labels = np.zeros(25, dtype=np.int64)
    predictions = Predictions(labels)  # without probabilities: one-hot
    names = [name for name in metrics_for(Kind.multiclass) if not name.startswith(("roc", "average"))]
    raw = score_predictions(dict.fromkeys(names, 1.0), y, predictions, Reference.from_labels(y, Kind.multiclass, 3)).raw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            assert raw[name] == pytest.approx(by_scikit_learn(name, y, labels, np.eye(3)[labels]), abs=1e-12), name


def test_recall_from_080_to_092_is_a_gain_of_012() -> None:
    y = np.ones(100, dtype=np.int64)
    y[:50] = 0
    reference = Reference.from_labels(y, Kind.binary, 2)

    def recall(hits: int) -> float:
        labels = y.copy()
        labels[50 + hits :] = 0
        return score_predictions({"recall": 1.0}, y, Predictions(labels), reference).score

    assert recall(46) - recall(40) == pytest.approx(0.12)


def test_score_is_the_weighted_mean_of_skills() -> None:
    y, predictions = classified(3, 80, 2)
    scores = score_predictions(
        {"accuracy": 3.0, "neg_log_loss": 1.0}, y, predictions, Reference.from_labels(y, Kind.binary, 2)
    )
    assert scores.score == pytest.approx((3 * scores.skills["accuracy"] + scores.skills["neg_log_loss"]) / 4)
    assert scores.raw["neg_log_loss"] < 0 < scores.skills["neg_log_loss"]


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 6]), st.integers(12, 60))
@settings(max_examples=40, deadline=None)
def test_perfect_predictions_have_skill_one_in_every_classification_metric(seed: int, n_classes: int, n: int) -> None:
    kind = Kind.binary if n_classes == 2 else Kind.multiclass
    y, _ = classified(seed, n, n_classes)
    skills = score_predictions(
        dict.fromkeys(metrics_for(kind), 1.0), y, Predictions(y), Reference.from_labels(y, kind, n_classes)
    ).skills
    assert all(skill == pytest.approx(1.0, abs=1e-9) for skill in skills.values()), skills


finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))


@given(st.lists(finite, min_size=5, max_size=40).filter(lambda values: np.std(values) > 1e-2))
@settings(max_examples=60, deadline=None)
def test_perfect_is_one_and_trivial_is_zero_in_regression(values: list[float]) -> None:
    y = np.array(values)
    reference = Reference.from_labels(y, Kind.regression)
    metrics = dict.fromkeys(metrics_for(Kind.regression), 1.0)
    assert score_predictions(metrics, y, Predictions(y), reference).score == pytest.approx(1.0)
    mean = score_predictions(metrics, y, Predictions(np.full(len(y), reference.mean)), reference).skills
    median = score_predictions(metrics, y, Predictions(np.full(len(y), reference.median)), reference).skills
    assert mean["neg_root_mean_squared_error"] == pytest.approx(0, abs=1e-9)
    assert mean["r2"] == pytest.approx(0, abs=1e-6)
    assert median["neg_mean_absolute_error"] == pytest.approx(0, abs=1e-9)


def test_class_priors_have_skill_zero_in_losses() -> None:
    y, _ = classified(0, 90, 3)
    reference = Reference.from_labels(y, Kind.multiclass, 3)
    trivial = Predictions(np.zeros(90, dtype=np.int64), np.tile(reference.priors, (90, 1)))
    skills = score_predictions({"neg_log_loss": 1, "neg_brier_score": 1}, y, trivial, reference).skills
    assert list(skills.values()) == pytest.approx([0, 0], abs=1e-12)


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
        default_metrics(Kind.binary), y, Predictions(1 - y), Reference.from_labels(y, Kind.binary, 2)
    )
    assert wrong.skills["neg_log_loss"] == -1.0
    assert wrong.raw["neg_log_loss"] < -30
    numbers = y.astype(float)
    absurd = Predictions(np.full(40, 1e300))
    floored = score_predictions(
        default_metrics(Kind.regression), numbers, absurd, Reference.from_labels(numbers, Kind.regression)
    )
    assert set(floored.skills.values()) == {-1.0}
    assert all(np.isfinite(value) for value in floored.raw.values())


def test_metrics_and_tasks_import_neither_torch_nor_scikit_learn() -> None:
    code = "import sys, marl_llm.metrics, marl_llm.tasks; print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
