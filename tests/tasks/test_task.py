"""From a table to a task: kinds, columns, parts, and the sentences people read when something is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.tasks import Part, Task
from marl_llm.tasks.splits.splitting import split_rows, strata

EXAMPLE = Path(__file__).parents[2] / "data" / "examples" / "clientes.csv"


def table(n: int = 120, **columns: object) -> pd.DataFrame:
    """A small frame with a target `y` of two classes; columns can be replaced or added."""
    rng = np.random.default_rng(0)
    base = {
        "age": rng.normal(40, 9, n),
        "city": rng.choice(["Rom", "Oslo", "Bonn"], n),
        "y": np.array(["no", "yes"])[np.arange(n) % 2],
    }
    return pd.DataFrame(base | columns)


def test_the_brazilian_example_is_read_as_meant() -> None:
    task = Task.from_csv(EXAMPLE, target="Cancelou")
    assert (task.kind, task.classes, task.name) == (Kind.binary, ("Não", "Sim"), "clientes")
    assert task.notes[0] == "read as latin-1, semicolon separated, decimal comma"
    assert (
        "column 'Código do cliente' left out: whole numbers, all different, named like an id"
        in task.notes
    )
    kinds = {column.name: column.kind for column in task.columns}
    assert kinds["Renda mensal (R$)"] == "numeric" and kinds["Região"] == "categorical"
    income = next(column.alias for column in task.columns if column.name == "Renda mensal (R$)")
    assert 1_000 < np.nanmedian(task.development.X[income].to_numpy()) < 10_000
    assert [len(part) for part in (task.development, task.holdout, task.test)] == pytest.approx(
        [240, 120, 120], abs=2
    )


def test_frames_hold_float64_and_str_with_nan_under_aliases() -> None:
    frame = table()
    frame.loc[:5, "city"] = None
    frame.loc[:5, "age"] = None
    task = Task.from_frame(frame, target="y", fractions=(0.8, 0.1, 0.1))
    X = task.development.X
    assert list(X.columns) == ["x0", "x1"] and list(X.index) == list(range(len(X)))
    assert X["x0"].dtype == np.float64 and X["x1"].dtype == object
    assert {type(value) for value in X["x1"]} == {str, float}
    assert task.development.y.dtype == np.int64


def test_parts_are_disjoint_cover_all_rows_and_keep_class_shares() -> None:
    frame = table(
        400, age=np.arange(400.0) + 0.5, y=np.where(np.arange(400) % 10 == 0, "rare", "usual")
    )
    task = Task.from_frame(frame, target="y")
    rows = [set(part.X["x0"]) for part in (task.development, task.holdout, task.test)]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 400
    assert [
        np.mean(part.y == 0) for part in (task.development, task.holdout, task.test)
    ] == pytest.approx([0.1] * 3)


def test_rows_and_targets_stay_together() -> None:
    rng = np.random.default_rng(1)
    value = rng.normal(size=200)
    task = Task.from_frame(
        pd.DataFrame({"a": value, "b": rng.normal(size=200), "t": 3 * value}), target="t"
    )
    for part in (task.development, task.holdout, task.test):
        np.testing.assert_allclose(3 * part.X["x0"], part.y)


def test_split_and_key_depend_on_seed_data_and_metrics_only() -> None:
    first, again = (
        Task.from_frame(table(), target="y", name="a"),
        Task.from_frame(table(), target="y", name="b"),
    )
    assert first.key == again.key and len(first.key) == 16
    pd.testing.assert_frame_equal(first.holdout.X, again.holdout.X)
    changed = table()
    changed.loc[3, "age"] += 1e-9
    others = [
        Task.from_frame(table(), target="y", seed=1),
        Task.from_frame(table(), target="y", metrics={"f1": 1}),
        Task.from_frame(table(), target="y", fractions=(0.6, 0.2, 0.2)),
        Task.from_frame(changed, target="y"),
        Task.from_frame(table(), target="y", features=["age"]),
    ]
    assert len({first.key, *(other.key for other in others)}) == 6


@given(st.integers(0, 99), st.lists(st.integers(6, 60), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
def test_every_class_of_six_rows_reaches_every_part(seed: int, sizes: list[int]) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    parts = split_rows(y, (0.5, 0.25, 0.25), seed)
    assert sorted(np.concatenate(parts)) == list(range(len(y)))
    for part, share in zip(parts, (0.5, 0.25, 0.25), strict=True):
        found = np.bincount(y[part], minlength=len(sizes))
        assert (found >= 1).all()
        assert (np.abs(found - share * np.array(sizes)) <= 1).all()


def test_regression_parts_are_alike_in_their_quantiles() -> None:
    y = np.random.default_rng(0).lognormal(size=1000)
    means = [np.log(y[part]).mean() for part in split_rows(strata(y, False), (0.5, 0.25, 0.25), 0)]
    assert np.ptp(means) < 0.05


@pytest.mark.parametrize("k", [2, 5])
def test_folds_validate_each_row_once_and_keep_class_shares(k: int) -> None:
    task = Task.from_frame(table(y=np.where(np.arange(120) % 6 == 0, "rare", "usual")), target="y")
    folds = task.cv_folds(k, seed=3)
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(60))
    assert all(
        set(train) | set(valid) == set(range(60)) and not set(train) & set(valid)
        for train, valid in folds
    )
    assert all(abs(np.sum(task.development.y[valid] == 0) - 10 / k) < 1 for _, valid in folds)
    assert all(
        (one[1] == other[1]).all()
        for one, other in zip(folds, task.cv_folds(k, seed=3), strict=True)
    )


@pytest.mark.parametrize(
    ("target", "kind", "classes"),
    [
        (["b", "a"] * 60, Kind.binary, ("a", "b")),
        ([True, False] * 60, Kind.binary, ("False", "True")),
        ([10, 2, 1] * 40, Kind.multiclass, ("1", "2", "10")),
        ([0.5, 1.5] * 60, Kind.binary, ("0.5", "1.5")),
        (list(range(11)) * 10 + list(range(10)), Kind.regression, ()),
        ([0.1, 0.2, 0.3] * 40, Kind.regression, ()),
    ],
)
def test_kind_and_class_order_are_detected(
    target: list, kind: Kind, classes: tuple[str, ...]
) -> None:
    task = Task.from_frame(table(y=target), target="y")
    assert (task.kind, task.classes) == (kind, classes)


def test_kind_can_be_overridden() -> None:
    assert (
        Task.from_frame(table(y=[1, 2, 3] * 40), target="y", kind="regression").kind
        is Kind.regression
    )
    assert (
        Task.from_frame(table(y=list(range(12)) * 10), target="y", kind="multiclass").kind
        is Kind.multiclass
    )


def test_useless_columns_are_left_out_with_the_reason() -> None:
    n = 120
    frame = table(
        customer_id=np.arange(n) * 7 + 3,
        row=np.arange(n)[::-1],
        code=[f"K-{i}" for i in range(n)],
        comment=[f"text {i % 70}" for i in range(n)],
        born=pd.date_range("1990-01-01", periods=n),
        constant="same",
        empty=np.nan,
        visits=np.arange(n),
    )
    task = Task.from_frame(frame, target="y")
    assert [column.name for column in task.columns] == ["age", "city", "born", "visits"]
    notes = "\n".join(task.notes)
    for expected in (
        "'customer_id' left out: whole numbers, all different, named like an id",
        "'row' left out: whole numbers that only rise or fall, named like a counter",
        "'code' left out: every value is different, like an id",
        "'comment' left out: text with 70 different values in 120 rows",
        "'constant' left out: it is constant",
        "'empty' left out: it is empty",
    ):
        assert expected in notes, expected


def test_named_features_are_kept_even_if_they_look_like_ids() -> None:
    task = Task.from_frame(
        table(customer_id=np.arange(120)), target="y", features=["customer_id", "age"]
    )
    assert [column.name for column in task.columns] == ["customer_id", "age"]


def test_rows_without_a_target_are_left_out_with_a_note() -> None:
    frame = table()
    frame.loc[:9, "y"] = None
    task = Task.from_frame(frame, target="y")
    assert sum(len(part) for part in (task.development, task.holdout, task.test)) == 110
    assert "10 rows without a value of the target 'y' left out" in task.notes


MISTAKES: list[tuple[dict[str, Any], Callable[[pd.DataFrame], object] | None, str]] = [
    ({"target": "Y_"}, None, "The target 'Y_' is not a column: did you mean 'y'"),
    ({"target": "qqqq"}, None, "'qqqq' is not a column: the columns are age, city, y"),
    ({"features": ["agge"]}, None, "The feature 'agge' is not a column: did you mean 'age'"),
    ({"ignore": ["cty"]}, None, "The ignored column 'cty' is not a column: did you mean 'city'"),
    ({"features": ["age", "y"]}, None, "'y' is the target and can't be a feature"),
    ({"features": []}, None, "No feature is left"),
    ({"ignore": ["age", "city"]}, None, "No feature is left"),
    ({"kind": "regression"}, None, "is text .*so its kind can't be regression"),
    (
        {"kind": "multiclass"},
        None,
        "has 2 different values, so its kind can't be multiclass: use binary",
    ),
    (
        {"kind": "ranking"},
        None,
        "Unknown kind of target 'ranking': choose binary, multiclass or regression",
    ),
    (
        {"metrics": {"r2": 1}},
        None,
        "Metric 'r2' does not fit a binary target with 2 classes: choose from",
    ),
    ({"fractions": (0.5, 0.5)}, None, "three are needed"),
    ({"fractions": (0.5, 0.5, 0.5)}, None, "sum to 1"),
    ({}, lambda frame: frame.assign(y="yes"), "the same value 'yes' in every row"),
    (
        {},
        lambda frame: frame.assign(y=["odd"] * 3 + ["no"] * 117),
        r"needs two classes of at least 4 rows, .* but it has 'odd' \(3 rows\): add rows or "
        r"join classes",
    ),
    (
        {},
        lambda frame: frame.assign(y=[f"name {i // 2}" for i in range(110)] + ["no", "yes"] * 5),
        "55 of the 57 classes of the target 'y' have fewer than 5 rows, and together most of "
        "all rows",
    ),
    ({}, lambda frame: frame.head(20), "Only 20 rows .* at least 30"),
    ({}, lambda frame: frame.assign(y=np.nan), "Only 0 rows"),
    ({}, lambda frame: frame.assign(age=1.0, city="Rom"), "No usable feature is left"),
]


@pytest.mark.parametrize(("options", "change", "message"), MISTAKES)
def test_a_mistake_gives_one_clear_sentence(
    options: dict[str, Any], change: Callable | None, message: str
) -> None:
    frame = change(table()) if change else table()
    with pytest.raises(UserError, match=message) as caught:
        Task.from_frame(frame, **{"target": "y", **options})
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_numbers_with_blanks_in_a_csv_are_numbers(tmp_path: Path) -> None:
    frame = table()
    frame["age"] = frame["age"].round(1).astype(str).where(np.arange(120) % 20 > 0, " ")
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    task = Task.from_csv(path, target="y")
    assert task.columns[0].kind == "numeric"
    assert (
        sum(
            np.isnan(part.X["x0"].to_numpy()).sum()
            for part in (task.development, task.holdout, task.test)
        )
        == 6
    )


def test_a_part_knows_its_length() -> None:
    assert len(Part(pd.DataFrame({"x0": [1.0, 2.0]}), np.array([0, 1]))) == 2


def test_small_parts_still_get_a_row_of_every_class() -> None:
    y = np.repeat([0, 1], [100, 6])
    assert all(len(np.unique(y[part])) == 2 for part in split_rows(y, (0.9, 0.05, 0.05), 0))
