"""Answers about columns: their wording, against independent numbers, and on planted facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mutual_info_score

from marl_llm.core.kind import Kind
from marl_llm.tasks.screening import Trap, TrapKind
from tests.environment.analysed import ask, made_task, one_hot, plain_task, viewed

UNCHANGED = [
    (
        Kind.binary,
        "distribution",
        ("x0", "x1", "x3", "x4"),
        "x0 quantiles 0.02 0.5 0.95 2 21; x1 quantiles -2.9 -0.7 -0.1 0.54 2.5; x3 green "
        "0.34 red 0.33 blue 0.33",
    ),
    (
        Kind.binary,
        "distribution",
        (),
        "x0 quantiles 0.02 0.5 0.95 2 21; x1 quantiles -2.9 -0.7 -0.1 0.54 2.5; x2 quantiles "
        "-3.2 -0.68 0.072 0.72 2.9",
    ),
    (
        Kind.binary,
        "target",
        ("x1", "x3", "x4"),
        "x1 q1 0.55 q2 0.56 q3 0.47 q4 0.54; x3 blue 0.55 green 0.52 red 0.47; x4 round 0.56 "
        "square 0.47",
    ),
    (Kind.binary, "target", ("x0",), "x0 q1 0.46 q2 0.61 q3 0.50 q4 0.49"),
    (Kind.binary, "errors", (), "recall 0 0.52 1 0.54"),
    (
        Kind.multiclass,
        "target",
        ("x1", "x3", "x4"),
        "x1 q1 0.34/0.11 q2 0.37/0.07 q3 0.45/0.07 q4 0.40/0.06; x3 blue 0.45/0.00 green 0.48/0.00 "
        "red 0.29/0.24; x4 round 0.36/0.08 square 0.44/0.09",
    ),
    (Kind.multiclass, "errors", (), "recall 0 0.54 1 0.43 2 0.05"),
    (
        Kind.regression,
        "target",
        ("x1", "x3", "x4"),
        "x1 q1 0.54 q2 0.57 q3 0.13 q4 0.54; x3 blue 0.2 green 0.047 red 0.9; x4 round 0.6 "
        "square 0.18",
    ),
    (Kind.regression, "target", ("x0",), "x0 q1 0.1 q2 0.76 q3 0.36 q4 0.3"),
    (Kind.regression, "errors", (), "residuals -4.5 -1.6 0.072 1.4 4.5"),
]


@pytest.mark.parametrize(("kind", "query", "columns", "told"), UNCHANGED)
def test_answers_that_the_embedded_model_was_trained_on_stay_as_they_were(
    kind, query, columns, told
):
    task = plain_task(kind)
    y = np.roll(task.development.y, 1)
    predictions = one_hot(y, 3) if kind.is_classification else type(one_hot(np.zeros(1, int), 1))(y)
    assert ask(query, viewed(task, predictions), *columns) == told


LABELS = np.arange(200) % 2
RNG = np.random.default_rng(0)


def test_dates_are_shown_as_dates():
    days = np.array(
        [0.0, 10957.0, 18262.25, 18293.5, 19000.0] * 40
    )  # a quarter of a day is six hours
    view = viewed(made_task({"x0": days}, LABELS, kinds={"x0": "date"}))
    assert (
        ask("distribution", view)
        == "x0 dates 1970-01-01 2000-01-01 2020-01-01 2020-02-01 2022-01-08"
    )
    far = np.where(np.arange(200) < 2, 60000.0, np.arange(200.0))
    assert ask("outliers", viewed(made_task({"x0": far}, LABELS, kinds={"x0": "date"}))).endswith(
        str(date(1970, 1, 1) + timedelta(60000))
    )


def test_a_text_is_told_by_its_length_and_its_frequent_words():
    texts = np.array(
        ["Good, good soup!", "bad soup", "so bad it is good", np.nan] * 50, dtype=object
    )
    view = viewed(
        made_task({"t0": texts}, (np.arange(200) % 4 == 0).astype(int), kinds={"t0": "text"})
    )
    assert (
        ask("distribution", view)
        == "t0 words per text 2 2 3 5 5, in texts: bad 0.67 good 0.67 soup 0.67"
    )
    assert ask("target", view) == "t0 bad 0.00 good 0.50 soup 0.50"


def test_missing_shares_patterns_and_their_relation_to_the_target():
    gap = np.where(LABELS == 1, np.nan, 1.0)
    other = np.where(np.arange(200) < 60, np.nan, 1.0)
    part = np.where(np.arange(200) < 40, np.nan, RNG.normal(size=200))
    words = np.where(np.arange(200) < 60, np.nan, np.array(["a"] * 200, dtype=object))
    columns = {
        "x0": gap,
        "x1": other,
        "x2": part,
        "x3": words,
        "x4": np.ones(200),
        "x5": np.full(200, np.nan),
    }
    told = ask("missing", viewed(made_task(columns, LABELS), budget=300)).split("; ")
    assert told == [
        "x5 1.00 missing, always",
        "x0 0.50 missing, class 1 1.00 there 0.00 elsewhere",
        "x1 0.30 missing, target alike",
        "x3 0.30 missing, target alike",
        "x1 x3 missing in the same rows",
        "x1 x2 missing together, overlap 0.67",
        "x2 0.20 missing, target alike",
    ]
    assert (
        ask("missing", viewed(made_task(columns, LABELS)), "x4")
        == "nothing is missing in 1 columns"
    )


def test_missing_values_of_a_regression_are_compared_by_the_mean_target():
    y = np.arange(200.0)
    view = viewed(made_task({"x0": np.where(y < 50, np.nan, 1.0)}, y, Kind.regression))
    assert ask("missing", view) == "x0 0.25 missing, mean 24.5 there 124 elsewhere"


def test_correlation_is_spearmans_and_finds_the_strongest_pairs():
    x = RNG.normal(size=200)
    columns = {
        "x0": x,
        "x1": np.exp(x) + 0.3 * RNG.normal(size=200),
        "x2": RNG.normal(size=200),
        "x3": -(x**3),
    }
    columns["x4"] = np.array(["a", "b"] * 100, dtype=object)
    view = viewed(made_task(columns, LABELS))
    told = ask("correlation", view).removeprefix("rank correlation: ").split("; ")
    pairs = {}
    for item in told:
        a, b, value = item.split()
        pairs[a, b] = float(value)
        assert float(value) == pytest.approx(spearmanr(columns[a], columns[b])[0], abs=0.005)
    assert next(iter(pairs)) == ("x0", "x3")
    assert pairs["x0", "x3"] == -1
    assert len(pairs) == 6
    assert ask("correlation", view, "x2").count("x2") == 3
    assert ask("correlation", view, "x4") == "no numeric column is named"
    assert "fewer than two" in ask("correlation", viewed(made_task({"x4": columns["x4"]}, LABELS)))
    assert "vary together" in ask(
        "correlation", viewed(made_task({"x0": x, "x1": np.ones(200)}, LABELS))
    )


def test_information_of_categories_is_exact_and_ranks_columns():
    words = np.where(RNG.random(200) < 0.8, LABELS, 1 - LABELS).astype(str).astype(object)
    words[:20] = np.nan
    columns = {"x0": RNG.normal(size=200), "x1": words, "x2": LABELS + 0.01 * RNG.normal(size=200)}
    told = ask("information", viewed(made_task(columns, LABELS)))
    head, _, items = told.partition(": ")
    assert head == "information about the target, nats of 0.693"
    names, values = items.split()[::2], [float(v) for v in items.split()[1::2]]
    assert names == ["x2", "x1", "x0"]
    assert values[1] == pytest.approx(
        mutual_info_score(pd.Series(words).fillna("-"), LABELS), abs=0.005
    )
    assert values[0] > 0.6
    y = columns["x0"] ** 2
    assert ask("information", viewed(made_task(columns, y, Kind.regression))).startswith(
        "information about the target, nats: x0 "
    )


def test_outliers_are_counted_beyond_three_interquartile_ranges():
    x = np.arange(200.0)
    x[:3] = [1e6, -1e6, 400]
    low, high = np.quantile(x, [0.25, 0.75])
    far = ((x < low - 3 * (high - low)) | (x > high + 3 * (high - low))).mean()
    columns = {
        "x0": np.arange(200.0),
        "x1": x,
        "x2": np.array(["a"] * 200, dtype=object),
        "x3": np.ones(200),
    }
    view = viewed(made_task(columns, LABELS))
    assert far == 0.01
    assert ask("outliers", view) == (
        "share beyond 3 IQR: x1 0.010 quartiles 51.8 151 extremes -1e+06 1e+06"
    )
    assert ask("outliers", view, "x0", "x3") == "no value beyond 3 IQR in 2 numeric columns"


def test_leakage_names_columns_that_give_the_target_away_ids_copies_and_warnings():
    code = RNG.permutation(200).astype(float)
    y = (code >= 100).astype(int)  # an id in the order of the classes
    noise, words = RNG.normal(size=200), np.array(["b", "a"], dtype=object)[y]
    names = np.array([f"name {i}" for i in range(200)], dtype=object)
    columns = {"x0": code, "x1": noise, "x2": words, "x3": names}
    traps = (
        Trap(TrapKind.target_copy, (), "column x7\n was removed"),
        Trap(TrapKind.absent_class, (), "class 3 is not in the hold-out"),
    )
    task = replace(made_task(columns, y), traps=traps)
    assert ask("leakage", viewed(task, budget=200)).split("; ") == [
        "column x7 was removed",
        "x0 alone gives the target, skill 0.98",
        "x2 alone gives the target, skill 1.00",
        "x0 differs in every row: an id?",
        "x3 differs in every row: an id?",
    ]
    assert ask("leakage", viewed(made_task(columns, y)), "x1") == "no hint of leakage in 1 columns"
    copied = made_task({"x1": np.where(np.arange(200) < 50, 3.0, noise)}, y)
    assert ask("leakage", viewed(copied)) == "0.24 of the rows are copies of another row"


def test_leakage_of_a_number_is_seen_too():
    y = RNG.normal(size=400)
    columns = {
        "x0": np.round(y * 100) / 7,
        "x1": np.round(y).astype(str).astype(object),
        "x2": RNG.normal(size=400),
    }
    told = ask("leakage", viewed(made_task(columns, y, Kind.regression)))
    assert "x0 alone gives the target" in told
    assert "x1 alone" not in told
    assert "x2" not in told
