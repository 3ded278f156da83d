"""What a skill is, for every metric of every kind: 1 for perfect, known for trivial, never below
-1, monotone.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import metrics_for
from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Reference, Scores, score_predictions
from tests.metrics.given import given

_CLASSES = ("a", "b", "c")
kinds = st.sampled_from(list(Kind))
seeds = st.integers(0, 100_000)


def all_metrics(kind: Kind) -> dict[str, float]:
    names = list(metrics_for(kind))
    if kind.is_classification:
        names += [
            f"{name}[a]"
            for name in ("f1", "precision", "recall", "jaccard", "roc_auc", "average_precision")
        ]
    return dict.fromkeys(names, 1.0)


def scored(kind: Kind, y: np.ndarray, predictions: Predictions) -> Scores:
    """Against the trivial predictor of the same rows."""
    classes = _CLASSES[: int(y.max()) + 1] if kind.is_classification else ()
    return score_predictions(
        all_metrics(kind), y, predictions, Reference.from_labels(y, kind, classes=classes)
    )


def wild(y: np.ndarray, kind: Kind, rng: np.random.Generator) -> Predictions:
    """Anything a model may say: certain or not, right or absurd."""
    if kind is Kind.regression:
        scale = 10.0 ** rng.choice([0, 2, 100, 300])
        return Predictions(np.where(rng.random(len(y)) < 0.5, y, rng.normal(size=len(y)) * scale))
    K = int(y.max()) + 1
    proba = rng.dirichlet(np.full(K, rng.choice([0.01, 1.0])), len(y))
    labels = np.where(rng.random(len(y)) < rng.random(), y, rng.integers(0, K, len(y)))
    return Predictions(labels, proba)


@for_all(kinds, seeds, st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_perfect_predictions_have_skill_one(kind: Kind, seed: int, n: int) -> None:
    y, _ = given(kind, seed, n)
    skills = scored(kind, y, Predictions(y)).skills
    assert skills == pytest.approx(dict.fromkeys(skills, 1.0), abs=1e-9)


@for_all(kinds, seeds, st.integers(8, 60))
@settings(max_examples=80, deadline=None)
def test_no_skill_is_below_minus_one_or_above_one(kind: Kind, seed: int, n: int) -> None:
    y, _ = given(kind, seed, n)
    scores = scored(kind, y, wild(y, kind, np.random.default_rng(seed)))
    assert all(-1 <= skill <= 1 for skill in scores.skills.values()), scores.skills
    assert all(np.isfinite(value) for value in scores.raw.values()), scores.raw


@for_all(kinds, seeds, st.integers(8, 60))
@settings(max_examples=80, deadline=None)
def test_a_better_metric_never_has_a_lower_skill(kind: Kind, seed: int, n: int) -> None:
    y, usual = given(kind, seed, n)
    rng = np.random.default_rng(seed)
    one, other = (
        scored(kind, y, wild(y, kind, rng)),
        scored(kind, y, usual if seed % 2 else wild(y, kind, rng)),
    )
    for name in one.raw:
        worse, better = sorted((one, other), key=lambda scores: scores.raw[name])
        assert better.skills[name] >= worse.skills[name], name


def trivial_skills(y: np.ndarray) -> dict[str, float]:
    """Skills of the most frequent class said with the class shares, by hand.

    Not 0 for metrics that are their own skill: accuracy-like ones have the value of always saying
    one class, areas under ROC curves 0.5, average precision the share of the positive class.
    """
    shares = np.bincount(y) / len(y)
    K, top = len(shares), int(np.argmax(shares))
    s = shares[top]
    of_top = {"f1": 2 * s / (1 + s), "precision": s, "recall": 1.0, "jaccard": s}
    two_likeliest = sorted(range(K), key=lambda c: (shares[c], c))[-2:]
    expected = {
        "accuracy": s,
        "balanced_accuracy": 1 / K,
        "matthews_corrcoef": 0.0,
        "average_precision": shares[1] if K == 2 else 1 / K,
        "average_precision[a]": shares[0],
        "roc_auc[a]": 0.5,
        "top_k_accuracy": sum(shares[c] for c in two_likeliest),
        **dict.fromkeys(
            ("neg_log_loss", "neg_brier_score", "d2_log_loss_score", "d2_brier_score"), 0.0
        ),
        **dict.fromkeys(("positive_likelihood_ratio", "neg_negative_likelihood_ratio"), 0.0),
        **dict.fromkeys(
            (
                "roc_auc",
                "roc_auc_ovr",
                "roc_auc_ovo",
                "roc_auc_ovr_weighted",
                "roc_auc_ovo_weighted",
            ),
            0.5,
        ),
    }
    for name, value in of_top.items():
        expected |= {
            name: value * (top == 1),
            f"{name}[a]": value * (top == 0),
            f"{name}_macro": value / K,
        }
        expected |= {
            f"{name}_weighted": value * s,
            f"{name}_micro": s / (2 - s) if name == "jaccard" else s,
        }
    return expected


@for_all(st.sampled_from([Kind.binary, Kind.multiclass]), seeds, st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_the_trivial_classifier_has_the_documented_skill(kind: Kind, seed: int, n: int) -> None:
    y, _ = given(kind, seed, n)
    shares = np.bincount(y) / n
    trivial = Predictions(np.full(n, np.argmax(shares)), np.tile(shares, (n, 1)))
    expected = trivial_skills(y)
    skills = scored(kind, y, trivial).skills
    assert skills == pytest.approx({name: expected[name] for name in skills}, abs=1e-9)


_OWN_CONSTANT = {
    "mean": (
        "r2",
        "explained_variance",
        "neg_mean_squared_error",
        "neg_root_mean_squared_error",
        "neg_max_error",
        "neg_mean_poisson_deviance",
        "neg_mean_gamma_deviance",
    ),
    "median": (
        "d2_absolute_error_score",
        "neg_mean_absolute_error",
        "neg_median_absolute_error",
        "neg_mean_absolute_percentage_error",
    ),
    "log_mean": ("neg_mean_squared_log_error", "neg_root_mean_squared_log_error"),
}


@for_all(seeds, st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_the_trivial_regressor_has_skill_zero_in_every_metric(seed: int, n: int) -> None:
    y, _ = given(Kind.regression, seed, n)
    reference = Reference.from_labels(y, Kind.regression)
    seen = set()
    for constant, names in _OWN_CONSTANT.items():
        trivial = Predictions(np.full(n, getattr(reference, constant)))
        skills = score_predictions(dict.fromkeys(names, 1.0), y, trivial, reference).skills
        assert skills == pytest.approx(dict.fromkeys(names, 0.0), abs=1e-6)
        seen |= set(names)
    assert seen == set(metrics_for(Kind.regression))


def test_the_mean_of_logarithms_is_the_best_constant_for_logarithmic_errors() -> None:
    y, _ = given(Kind.regression, 0, 200)
    reference = Reference.from_labels(y, Kind.regression)
    best = score_predictions(
        {"neg_mean_squared_log_error": 1},
        y,
        Predictions(np.full(200, reference.log_mean)),
        reference,
    )
    for other in (
        reference.log_mean * 1.05,
        reference.log_mean * 0.95,
        reference.mean,
        reference.median,
    ):
        scores = score_predictions(
            {"neg_mean_squared_log_error": 1}, y, Predictions(np.full(200, other)), reference
        )
        assert scores.score < best.score
