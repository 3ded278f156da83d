"""Raw metrics are those of scikit-learn's scorers, all of them, also under row weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.metrics import get_scorer_names

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import metrics_for
from marl_llm.core.metrics.rows import Rows
from marl_llm.core.metrics.values import raw_values
from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Reference, score_predictions
from tests.metrics.given import by_scikit_learn, given, measured

_NOT_OURS = {
    "of clusters, not of classes": {
        "adjusted_mutual_info_score",
        "adjusted_rand_score",
        "completeness_score",
        "fowlkes_mallows_score",
        "homogeneity_score",
        "mutual_info_score",
        "normalized_mutual_info_score",
        "rand_score",
        "v_measure_score",
    },
    "of several labels a row": {
        "f1_samples",
        "jaccard_samples",
        "precision_samples",
        "recall_samples",
    },
}
_KINDS = list(Kind)
_WITHOUT_WEIGHTS_IN_SCIKIT_LEARN = {
    "neg_max_error",
    "positive_likelihood_ratio",
    "neg_negative_likelihood_ratio",
    "roc_auc_ovo",
    "roc_auc_ovo_weighted",
}


def rows_of(y: np.ndarray, predictions: Predictions) -> Rows:
    proba = np.empty((len(y), 0)) if predictions.proba is None else predictions.proba
    return Rows(y, predictions.labels, proba)


def plain(kind: Kind, y: np.ndarray, predictions: Predictions) -> dict[str, float]:
    return score_predictions(
        dict.fromkeys(metrics_for(kind), 1.0), y, predictions, Reference.from_labels(y, kind, 3)
    ).raw


def test_every_scorer_of_scikit_learn_is_here_or_left_out_for_a_reason() -> None:
    ours = {name for kind in Kind for name in metrics_for(kind)}
    left_out = set().union(*_NOT_OURS.values())
    assert set(get_scorer_names()) - left_out == ours
    assert not left_out & ours


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(("seed", "knows"), [(0, 0.0), (1, 1.5), (2, 4.0)])
def test_raw_metrics_equal_scikit_learn(kind: Kind, seed: int, knows: float) -> None:
    y, predictions = given(kind, seed, 157 + seed, knows)
    for name, value in plain(kind, y, predictions).items():
        assert value == pytest.approx(
            by_scikit_learn(name, y, predictions), rel=1e-10, abs=1e-12
        ), name


@pytest.mark.parametrize("kind", _KINDS)
def test_weighted_metrics_equal_scikit_learn_with_sample_weight(kind: Kind) -> None:
    y, predictions = given(kind, 11, 120)
    weights = np.random.default_rng(0).integers(1, 4, (3, 120)).astype(float)
    names = [name for name in metrics_for(kind) if name not in _WITHOUT_WEIGHTS_IN_SCIKIT_LEARN]
    found = raw_values(names, rows_of(y, predictions), weights)
    for name in names:
        expected = [by_scikit_learn(name, y, predictions, weight) for weight in weights]
        assert found[name] == pytest.approx(expected, rel=1e-10, abs=1e-12), name


@pytest.mark.parametrize("kind", _KINDS)
def test_whole_weights_are_repeated_rows_for_every_metric(kind: Kind) -> None:
    y, predictions = given(kind, 5, 90)
    rows, counts_BN = rows_of(y, predictions), np.random.default_rng(1).poisson(0.7, (8, 90))
    classes, names = ("a", "b", "c"), list(metrics_for(kind))
    if kind.is_classification:
        names += [
            "recall[b]",
            "precision[a]",
            "f1[b]",
            "jaccard[a]",
            "roc_auc[b]",
            "average_precision[a]",
        ]
    weighted = raw_values(names, rows, counts_BN.astype(float), classes)
    for line, counts in enumerate(counts_BN):
        drawn = np.repeat(np.arange(90), counts)
        repeated = Rows(rows.y[drawn], rows.labels[drawn], rows.proba[drawn])
        one_by_one = raw_values(names, repeated, np.ones((1, len(drawn))), classes)
        for name in names:
            assert weighted[name][line] == pytest.approx(
                one_by_one[name][0], rel=1e-10, abs=1e-12
            ), name


@pytest.mark.parametrize("kind", [Kind.binary, Kind.multiclass])
def test_metrics_of_one_class_are_those_of_the_class_against_the_rest(kind: Kind) -> None:
    y, predictions = given(kind, 3, 140)
    classes = ("setosa", "versi[color]", "virginica")[: int(y.max()) + 1]
    reference = Reference.from_labels(y, kind, classes=classes)
    assert predictions.proba is not None
    for index, name in enumerate(classes):
        true, said, shown = y == index, predictions.labels == index, predictions.proba[:, index]
        expected = {
            f"recall[{name}]": sk.recall_score(true, said),
            f"precision[{name}]": sk.precision_score(true, said),
            f"f1[{name}]": sk.f1_score(true, said),
            f"jaccard[{name}]": sk.jaccard_score(true, said),
            f"roc_auc[{name}]": sk.roc_auc_score(true, shown),
            f"average_precision[{name}]": sk.average_precision_score(true, shown),
        }
        scores = score_predictions(dict.fromkeys(expected, 1.0), y, predictions, reference)
        assert scores.raw == pytest.approx(expected) and list(scores.raw) == list(expected)
        assert scores.skills == scores.raw


def test_a_class_that_nobody_predicts_counts_zero_as_in_scikit_learn() -> None:
    y = np.array([0] * 20 + [1] * 3 + [2] * 2)
    labels = np.zeros(25, dtype=np.int64)
    raw = plain(Kind.multiclass, y, Predictions(labels))  # without probabilities: one-hot
    one_hot = Predictions(labels, np.eye(3)[labels])
    for name in raw:
        assert raw[name] == pytest.approx(by_scikit_learn(name, y, one_hot), abs=1e-12), name


def likelihood_ratios(tp: int, fn: int, fp: int, tn: int) -> tuple[float, float]:
    y = np.array([1] * (tp + fn) + [0] * (fp + tn))
    labels = np.array([1] * tp + [0] * fn + [1] * fp + [0] * tn)
    raw = plain(Kind.binary, y, Predictions(labels))
    return raw["positive_likelihood_ratio"], raw["neg_negative_likelihood_ratio"]


def test_likelihood_ratios_go_to_their_limit_where_scikit_learn_puts_a_placeholder() -> None:
    assert likelihood_ratios(tp=8, fn=2, fp=1, tn=9) == pytest.approx((8.0, -2 / 9))
    assert likelihood_ratios(tp=10, fn=0, fp=0, tn=10) == (1e12, 0.0)
    assert likelihood_ratios(tp=0, fn=10, fp=10, tn=0) == (0.0, -1e12)
    assert likelihood_ratios(tp=0, fn=10, fp=0, tn=10) == (1.0, -1.0)
    assert likelihood_ratios(tp=10, fn=0, fp=10, tn=0) == (1.0, -1.0)
    y = np.array([1] * 10 + [0] * 10)
    assert by_scikit_learn("positive_likelihood_ratio", y, Predictions(y, np.eye(2)[y])) == 1.0


_WITH_DOMAIN = {
    "neg_mean_squared_log_error": -1.0,
    "neg_root_mean_squared_log_error": -2.0,
    "neg_mean_poisson_deviance": -0.1,
    "neg_mean_gamma_deviance": 0.0,
}


@pytest.mark.parametrize(("name", "outside"), _WITH_DOMAIN.items())
def test_a_prediction_outside_the_domain_has_the_worst_skill(name: str, outside: float) -> None:
    y, predictions = measured(0, 50)
    reference = Reference.from_labels(y, Kind.regression)
    assert score_predictions({name: 1}, y, predictions, reference).score > 0
    predictions.labels[7] = outside
    with pytest.raises(ValueError):
        by_scikit_learn(name, y, predictions)
    scores = score_predictions({name: 1}, y, predictions, reference)
    assert scores.score == -1.0 and np.isfinite(scores.raw[name])


def test_a_count_of_zero_that_is_foreseen_has_no_poisson_deviance() -> None:
    y = np.array([0.0, 0.0, 3.0, 5.0])
    reference = Reference.from_labels(y, Kind.regression)
    assert (
        score_predictions({"neg_mean_poisson_deviance": 1}, y, Predictions(y), reference).score
        == 1.0
    )
