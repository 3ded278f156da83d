"""Paired tests: silent on noise, loud on real gains, equal to their formulas."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import default_metrics, metrics_for
from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Reference, corrected_resampled_t, paired_bootstrap, score_predictions
from marl_llm.metrics.significance import _resamples


def noisy(
    y: np.ndarray, rng: np.random.Generator, n_classes: int, skill: float = 1.0
) -> Predictions:
    """A predictor that knows `skill` about the label and adds its own noise."""
    logits = rng.normal(size=(len(y), n_classes)) + skill * np.eye(n_classes)[y]
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(proba.argmax(axis=1), proba)


def false_gain_rate(kind: Kind, n: int, priors: list[float], comparisons: int = 200) -> float:
    """How often one of two equally good predictors is called significantly better."""
    found = 0
    for seed in range(comparisons):
        rng = np.random.default_rng([n, seed])
        if kind is Kind.regression:
            y = rng.normal(size=n)
            before, after = (Predictions(y + rng.normal(size=n)) for _ in range(2))
            reference = Reference.from_labels(y, kind)
        else:
            y = rng.choice(len(priors), size=n, p=priors)
            before, after = (noisy(y, rng, len(priors)) for _ in range(2))
            reference = Reference(tuple(priors), 0.0, 0.0)
        found += paired_bootstrap(
            default_metrics(kind), y, before, after, reference, n_resamples=300, seed=seed
        ).significant
    return found / comparisons


@pytest.mark.parametrize(
    ("kind", "n", "priors"),
    [
        (Kind.binary, 60, [0.5, 0.5]),
        (Kind.binary, 300, [0.9, 0.1]),
        (Kind.multiclass, 150, [0.5, 0.3, 0.2]),
        (Kind.regression, 150, []),
    ],
)
def test_false_gains_between_equally_good_predictors_stay_at_the_level(
    kind: Kind, n: int, priors: list[float]
) -> None:
    assert false_gain_rate(kind, n, priors) <= 0.08


def test_a_real_gain_is_found() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    before, after = noisy(y, rng, 2, 0.5), noisy(y, rng, 2, 2.0)
    found = paired_bootstrap(
        default_metrics(Kind.binary), y, before, after, Reference((0.5, 0.5), 0, 0)
    )
    assert found.significant and found.p_value < 0.01 and 0 < found.low < found.gain < found.high
    back = paired_bootstrap(
        default_metrics(Kind.binary), y, after, before, Reference((0.5, 0.5), 0, 0)
    )
    assert not back.significant and back.p_value > 0.99 and back.gain == pytest.approx(-found.gain)


def test_pairing_finds_a_gain_that_unpaired_noise_would_hide() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 300)
    before = noisy(y, rng, 2, 1.0)
    wrong = np.flatnonzero(before.labels != y)[:15]
    labels = before.labels.copy()
    labels[wrong] = y[wrong]
    found = paired_bootstrap(
        {"accuracy": 1.0}, y, before, Predictions(labels, before.proba), Reference((0.5, 0.5), 0, 0)
    )
    assert found.gain == pytest.approx(0.05) and found.significant


@pytest.mark.parametrize("kind", list(Kind))
def test_identical_predictions_are_no_gain(kind: Kind) -> None:
    rng = np.random.default_rng(2)
    y = (
        rng.normal(size=80)
        if kind is Kind.regression
        else np.arange(80) % (2 if kind is Kind.binary else 3)
    )
    before = (
        Predictions(y + rng.normal(size=80))
        if kind is Kind.regression
        else noisy(y, rng, int(y.max()) + 1)
    )
    metrics = dict.fromkeys(metrics_for(kind), 1.0)
    same = paired_bootstrap(
        metrics,
        y,
        before,
        before,
        Reference.from_labels(y, kind, int(y.max()) + 1),
        n_resamples=100,
    )
    assert (same.gain, same.p_value, same.low, same.high, same.significant) == (
        0.0,
        1.0,
        0.0,
        0.0,
        False,
    )


def test_bootstrap_equals_scoring_each_resample_by_hand() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(50) % 3
    before, after = noisy(y, rng, 3), noisy(y, rng, 3, 1.5)
    metrics = dict.fromkeys(metrics_for(Kind.multiclass), 1.0)
    reference = Reference.from_labels(y, Kind.multiclass, 3)
    found = paired_bootstrap(metrics, y, before, after, reference, n_resamples=40, seed=9)
    gains = []
    for counts in next(_resamples(50, 40, 9)).astype(int):
        drawn = np.repeat(np.arange(50), counts)
        scores = [
            score_predictions(
                metrics, y[drawn], Predictions(model.labels[drawn], model.proba[drawn]), reference
            ).score  # pyright: ignore[reportOptionalSubscript]
            for model in (before, after)
        ]
        gains.append(scores[1] - scores[0])
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(gains, [0.025, 0.975])), abs=1e-12
    )
    centred = (1 + sum(gain - found.gain >= found.gain for gain in gains)) / 41
    percentile = (1 + sum(gain <= 0 for gain in gains)) / 41
    assert found.p_value == pytest.approx(max(centred, percentile))


def test_bootstrap_agrees_with_the_one_of_scipy_over_metrics_of_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    y = rng.integers(0, 2, 120)
    before, after = noisy(y, rng, 2, 1.0), noisy(y, rng, 2, 1.2)
    found = paired_bootstrap(
        {"f1_macro": 1.0, "roc_auc": 2.0},
        y,
        before,
        after,
        Reference((0.5, 0.5), 0, 0),
        n_resamples=4000,
    )

    def gain(*rows: np.ndarray) -> float:
        y, labels, scores, new_labels, new_scores = rows
        f1 = sk.f1_score(y, new_labels, average="macro") - sk.f1_score(y, labels, average="macro")
        return float(f1 + 2 * (sk.roc_auc_score(y, new_scores) - sk.roc_auc_score(y, scores))) / 3

    assert before.proba is not None and after.proba is not None
    columns = (y, before.labels, before.proba[:, 1], after.labels, after.proba[:, 1])
    slow = stats.bootstrap(
        columns, gain, paired=True, vectorized=False, n_resamples=200, method="percentile", rng=1
    )
    gains, observed = slow.bootstrap_distribution, gain(*columns)
    p_value = max(np.mean(gains <= 0), np.mean(gains >= 2 * observed))
    assert found.gain == pytest.approx(observed) and 0.02 < p_value < 0.5
    assert found.p_value == pytest.approx(p_value, abs=4 * np.sqrt(p_value * (1 - p_value) / 200))
    width = slow.confidence_interval.high - slow.confidence_interval.low
    expected = (slow.confidence_interval.low, slow.confidence_interval.high)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.15 * width)


def test_same_seed_same_verdict_and_blocks_are_multinomial_counts() -> None:
    rng = np.random.default_rng(4)
    y = np.arange(60) % 2
    before, after = noisy(y, rng, 2), noisy(y, rng, 2, 1.2)
    metrics, reference = default_metrics(Kind.binary), Reference((0.5, 0.5), 0, 0)
    first, again, other = (
        paired_bootstrap(metrics, y, before, after, reference, seed=seed) for seed in (5, 5, 6)
    )
    assert first == again != other
    assert all((block.sum(axis=1) == 60).all() for block in _resamples(60, 30, 0))
    assert sum(len(block) for block in _resamples(3_000_000, 3, 0)) == 3


def test_500_resamples_of_500_rows_are_fast() -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 500)
    before, after = noisy(y, rng, 2), noisy(y, rng, 2)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        paired_bootstrap(
            default_metrics(Kind.binary), y, before, after, Reference((0.5, 0.5), 0, 0)
        )
        times.append(time.perf_counter() - start)
    assert min(times) < 0.03


def test_corrected_resampled_t_equals_the_formula_of_nadeau_and_bengio() -> None:
    differences = np.array([0.02, 0.05, -0.01, 0.04, 0.03, 0.06, 0.01, 0.02, 0.05, 0.03])
    found = corrected_resampled_t(differences, n_train=900, n_test=100)
    scale = np.sqrt((1 / 10 + 100 / 900) * np.var(differences, ddof=1))
    assert found.p_value == pytest.approx(stats.t.sf(differences.mean() / scale, df=9))
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 9, loc=differences.mean(), scale=scale)
    )
    plain = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert found.p_value > plain
    assert found.significant and not corrected_resampled_t(-differences, 900, 100).significant


def test_without_overlap_it_is_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(7)
    before, after = rng.normal(0.7, 0.02, 12), rng.normal(0.72, 0.02, 12)
    found = corrected_resampled_t(after - before, n_train=10**9, n_test=1)
    plain = stats.ttest_rel(after, before, alternative="greater")
    assert found.p_value == pytest.approx(plain.pvalue, rel=1e-6)


def test_repeats_add_no_degrees_of_freedom() -> None:
    differences = np.random.default_rng(8).normal(0.01, 0.03, 30)
    found = corrected_resampled_t(differences, n_train=200, n_test=100)
    scale = np.sqrt((1 / 30 + 100 / 200) * np.var(differences, ddof=1))
    assert found.p_value == pytest.approx(stats.t.sf(differences.mean() / scale, df=2))


def test_corrected_resampled_t_without_spread_goes_by_the_sign() -> None:
    assert corrected_resampled_t(np.zeros(5), 80, 20).p_value == 1.0
    assert corrected_resampled_t(np.full(5, 0.1), 80, 20).significant
    assert not corrected_resampled_t(np.array([0.3]), 80, 20).significant
