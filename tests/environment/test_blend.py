"""Greedy selection of a blend, from predictions alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.core.predictions import Predictions
from marl_llm.environment.blend import POWERS, Score, as_predictions, blended, choose_blend

seeds, sizes = st.integers(0, 10**6), st.integers(1, 6)
ROUNDS = 20


def some_labels(rng: np.random.Generator, rows: int, classes: int) -> np.ndarray:
    return rng.permutation(np.arange(rows) % classes)


def some_pool(
    rng: np.random.Generator, y: np.ndarray, classes: int, models: int
) -> list[Predictions]:
    """Models that know the labels more or less."""
    pool = []
    for _ in range(models):
        raw = rng.gamma(1.0, size=(len(y), classes)) + rng.uniform(0, 2) * np.eye(classes)[y]
        proba = raw / raw.sum(axis=1, keepdims=True)
        pool.append(Predictions(np.argmax(proba, axis=1), proba))
    return pool


def accuracy(y: np.ndarray) -> Score:
    return lambda predictions: float(np.mean(predictions.labels == y))


def brier(y: np.ndarray, classes: int) -> Score:
    return lambda predictions: (
        -float(np.mean((np.asarray(predictions.proba) - np.eye(classes)[y]) ** 2))
    )


def closeness(y: np.ndarray) -> Score:
    return lambda predictions: -float(np.mean((predictions.labels - y) ** 2))


@given(seeds, sizes, st.integers(2, 4), st.integers(1, 6))
def test_a_blend_is_never_worse_than_the_best_single_model_on_the_rows_it_was_chosen_on(
    seed, models, classes, most
):
    rng = np.random.default_rng(seed)
    y = some_labels(rng, 30, classes)
    pool, priors = some_pool(rng, y, classes, models), np.bincount(y) / len(y)
    for score in (accuracy(y), brier(y, classes)):
        found = choose_blend(pool, priors, score, most)
        assert found.score >= max(map(score, pool)) - 1e-9
        assert 1 <= len(found.weights) <= most
        assert all(
            0 <= i < models and 1 <= weight <= ROUNDS + 1 for i, weight in found.weights.items()
        )
        parts = [pool[i] for i in found.weights]
        again = score(blended(parts, list(found.weights.values()), priors, found.power))
        assert again == pytest.approx(found.score, abs=1e-9)


def reference(
    pool: Sequence[np.ndarray], score: Score, make, most: int
) -> tuple[Counter[int], float]:
    """Selection with replacement as Caruana et al. write it: a bag of models, its plain mean, the
    best bag of all.
    """
    bag = [max(range(len(pool)), key=lambda i: score(make(pool[i])))]
    best = Counter(bag), score(make(pool[bag[0]]))
    for _ in range(ROUNDS if most > 1 else 0):
        allowed = [i for i in range(len(pool)) if i in bag or len(set(bag)) < most]
        means = {i: np.mean([pool[j] for j in (*bag, i)], axis=0) for i in allowed}
        bag.append(max(allowed, key=lambda i: score(make(means[i]))))
        value = score(make(means[bag[-1]]))
        best = max(best, (Counter(bag), value), key=lambda pair: pair[1])
    return best


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_classifiers_are_chosen_as_a_plain_loop_over_bags_chooses_them(seed, models, most):
    rng = np.random.default_rng(seed)
    y = some_labels(rng, 25, 3)
    pool = some_pool(rng, y, 3, models)
    wanted, value = reference(
        [np.asarray(one.proba) for one in pool],
        brier(y, 3),
        lambda p: Predictions(np.argmax(p, axis=1), p),
        most,
    )
    found = choose_blend(pool, np.full(3, 1 / 3), brier(y, 3), most)
    assert found.score == pytest.approx(value) and found.power == 0
    assert set(found.weights) == set(wanted)
    assert all(
        found.weights[i] / sum(found.weights.values()) == wanted[i] / wanted.total() for i in wanted
    )


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_regressors_are_chosen_in_the_same_way_and_have_no_decision_rule(seed, models, most):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=25)
    pool = [Predictions(y + rng.normal(scale=rng.uniform(0.1, 2), size=25)) for _ in range(models)]
    wanted, value = reference([one.labels for one in pool], closeness(y), Predictions, most)
    found = choose_blend(pool, None, closeness(y), most)
    assert found.power == 0
    assert found.score == pytest.approx(value) and set(found.weights) == set(wanted)


def test_one_member_at_most_is_the_best_single_model():
    y = np.array([0.0, 1, 2, 3])
    pool = [Predictions(y + off) for off in (1.0, 0.5, -0.5)]
    assert choose_blend(pool, None, closeness(y), 1).weights == {1: 1}
    both = choose_blend(pool, None, closeness(y), 2)
    assert both.weights == {1: 1, 2: 1} and both.score == 0


def test_a_rare_class_is_favoured_where_the_score_asks_for_it_and_not_otherwise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    rare = 1 / (1 + np.exp(3 - 1.5 * x))
    y = (rng.random(4000) < rare).astype(int)
    pool, priors = (
        [Predictions((rare > 0.5).astype(int), np.column_stack([1 - rare, rare]))],
        np.bincount(y) / 4000,
    )

    def balanced(predictions: Predictions) -> float:
        return float(np.mean([np.mean(predictions.labels[y == c] == c) for c in (0, 1)]))

    assert choose_blend(pool, priors, balanced).power > 0
    assert choose_blend(pool, priors, balanced).score > balanced(pool[0]) + 0.05
    assert (
        choose_blend(pool, priors, brier(y, 2)).power == 0
    )  # probabilities do not change: the simplest rule


@given(seeds, st.sampled_from(POWERS))
def test_a_class_without_training_rows_is_never_the_label(seed, power):
    rng = np.random.default_rng(seed)
    mean = np.column_stack([rng.dirichlet((1, 1), 20), np.zeros(20)])
    found = as_predictions(mean, np.array([0.3, 0.7, 0.0]), power)
    assert found.labels.max() <= 1 and found.proba is mean
