"""Parts and folds: by chance with copies together, by group, by time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from marl_llm.core.errors import UserError
from marl_llm.tasks import Task
from marl_llm.tasks.splits.splitting import (
    cv_folds,
    group_folds,
    group_parts,
    split_rows,
    time_folds,
    time_parts,
    unit_folds,
    unit_parts,
)

FRACTIONS = (0.5, 0.25, 0.25)
PARTS = ("development", "holdout", "test")


def shop(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Orders of 40 customers on consecutive days, in no order."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "customer": rng.permutation(np.arange(rows) % 40),
            "date": pd.date_range("2020-01-01", periods=rows).strftime("%Y-%m-%d"),
            "amount": rng.normal(size=rows).round(6),
            "y": rng.choice(["no", "yes"], rows),
        }
    )
    return frame.sample(frac=1, random_state=seed)


def task_of(frame: pd.DataFrame, path: Path, **options: Any) -> Task:
    """The task of a CSV; `amount` tells the rows apart."""
    frame.to_csv(path / "t.csv", index=False)
    return Task.from_csv(path / "t.csv", **{"target": "y", **options})


def rows_of(task: Task, frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of the file in each part, in the order of the part."""
    alias = next(column.alias for column in task.columns if column.name == "amount")
    by_amount = frame.set_index("amount")
    return [by_amount.loc[getattr(task, part).X[alias]] for part in PARTS]


@given(st.integers(0, 99), st.lists(st.integers(0, 3), min_size=20, max_size=90))
def test_without_repeats_units_are_split_as_rows(seed: int, classes: list[int]) -> None:
    stratum, units = np.array(classes), np.random.default_rng(seed).permutation(len(classes))
    rows, parts = split_rows(stratum, FRACTIONS, seed), unit_parts(stratum, units, FRACTIONS, seed)
    assert all(np.array_equal(a, b) for a, b in zip(rows, parts, strict=True))
    folds = zip(cv_folds(stratum, 3, seed), unit_folds(stratum, units, 3, seed), strict=True)
    assert all(
        np.array_equal(a, b) for one, other in folds for a, b in zip(one, other, strict=True)
    )


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Strata and groups of some rows, and a seed."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=6, max_size=30))
    seed = draw(st.integers(0, 999))
    groups = np.random.default_rng(seed).permutation(
        np.repeat(np.arange(len(sizes)) * 7 + 3, sizes)
    )
    strata = draw(st.lists(st.integers(0, 2), min_size=len(groups), max_size=len(groups)))
    return np.array(strata), groups, seed


@given(grouped(), st.sampled_from([group_parts, unit_parts]))
@settings(max_examples=60)
def test_no_group_is_in_two_parts_and_all_rows_are_in_one(
    case: tuple[np.ndarray, np.ndarray, int], divide: Callable[..., list[np.ndarray]]
) -> None:
    stratum, groups, seed = case
    parts = divide(stratum, groups, FRACTIONS, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    assert sum(len(np.unique(groups[part])) for part in parts) == len(np.unique(groups))


@given(grouped(), st.sampled_from([group_folds, unit_folds]), st.integers(2, 4))
@settings(max_examples=60)
def test_no_group_is_in_two_folds(
    case: tuple[np.ndarray, np.ndarray, int], fold: Callable, k: int
) -> None:
    stratum, groups, seed = case
    folds = fold(stratum, groups, k, seed)
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(len(groups)))
    assert not any(np.isin(groups[train], groups[valid]).any() for train, valid in folds)


@given(
    st.lists(st.integers(0, 15), min_size=12, max_size=80).filter(
        lambda times: len(set(times)) >= 5
    )
)
@settings(max_examples=80)
def test_later_parts_hold_later_times_and_ties_stay_together(times: list[int]) -> None:
    T = np.array(times, dtype=np.float64)
    parts = time_parts(T, FRACTIONS)
    assert sorted(np.concatenate(parts)) == list(range(len(T)))
    assert all(T[later].min() > T[earlier].max() for earlier, later in pairwise(parts))
    folds = time_folds(np.zeros(len(T), dtype=np.int64), T, 3)
    assert all(T[valid].min() > T[train].max() for train, valid in folds)
    assert np.array_equal(np.sort(np.concatenate([folds[-1][0], folds[-1][1]])), np.arange(len(T)))


def test_time_parts_have_the_sizes_asked_for() -> None:
    parts = time_parts(np.random.default_rng(0).permutation(1000).astype(float), (0.6, 0.3, 0.1))
    assert [len(part) for part in parts] == [600, 300, 100]


def test_the_first_fold_in_time_waits_for_every_class() -> None:
    y = np.array([0] * 40 + [1] + [0, 1] * 30)
    for train, valid in time_folds(y, np.arange(101.0), 3):
        assert set(y[train]) == {0, 1} and len(valid) >= 15


def test_groups_are_as_balanced_as_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    groups = rng.choice(60, 900, p=rng.dirichlet(np.full(60, 2.0)))
    y = (rng.random(900) < rng.beta(1, 2, 60)[groups]).astype(np.int64)

    def imbalance(folds: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
        sizes, rates = zip(*[(len(valid), y[valid].mean()) for _, valid in folds], strict=True)
        return float(np.std(sizes)), float(np.std(rates))

    theirs = StratifiedGroupKFold(4, shuffle=True, random_state=0).split(y, y, groups)
    size, rate = imbalance(list(theirs))
    our_size, our_rate = imbalance(group_folds(y, groups, 4, 0))
    assert our_size <= max(size, 4) and our_rate <= max(rate, 0.01)


def test_group_parts_keep_shares_of_rows_and_classes() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 80, 1200)
    y = (rng.random(1200) < np.where(groups < 20, 0.9, 0.1)).astype(np.int64)
    parts = group_parts(y, groups, FRACTIONS, 0)
    assert [len(part) / 1200 for part in parts] == pytest.approx(FRACTIONS, abs=0.02)
    assert [y[part].mean() for part in parts] == pytest.approx([y.mean()] * 3, abs=0.03)


def test_a_customer_stays_in_one_part_and_fold_and_is_no_feature(tmp_path: Path) -> None:
    frame = shop()
    task = task_of(frame, tmp_path, group="customer")
    parts = [set(part["customer"]) for part in rows_of(task, frame)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40
    assert [len(getattr(task, part)) for part in PARTS] == pytest.approx([120, 60, 60], abs=6)
    assert "customer" not in [column.name for column in task.columns] and task.split == "group"
    customers = rows_of(task, frame)[0]["customer"].to_numpy()
    for train, valid in task.cv_folds(4):
        assert not set(customers[train]) & set(customers[valid])


def test_rows_without_a_customer_are_groups_of_their_own(tmp_path: Path) -> None:
    frame = shop().astype({"customer": object})
    frame.iloc[:60, 0] = None
    task = task_of(frame, tmp_path, group="customer")
    assert sum(len(getattr(task, part)) for part in PARTS) == 240
    assert all(part["customer"].isna().any() for part in rows_of(task, frame))
    assert (
        "60 rows without a value of the group column 'customer', each a group of its own"
        in task.notes
    )


def test_a_group_named_by_numbers_and_a_few_words_keeps_the_words(tmp_path: Path) -> None:
    frame = shop().astype({"customer": object})
    frame.iloc[:8, 0] = "guest"
    task = task_of(frame, tmp_path, group="customer")
    assert sum("guest" in set(part["customer"]) for part in rows_of(task, frame)) == 1


def test_hold_out_and_test_are_later_than_development(tmp_path: Path) -> None:
    frame = shop()
    task = task_of(frame, tmp_path, time="date", kinds={"customer": "categorical"})
    development, holdout, test = (part["date"] for part in rows_of(task, frame))
    assert development.max() < holdout.min() and holdout.max() < test.min()
    assert [len(getattr(task, part)) for part in PARTS] == [120, 60, 60] and task.split == "time"
    dates = development.to_numpy()
    for train, valid in task.cv_folds(3):
        assert dates[train].max() < dates[valid].min()


def test_the_time_is_a_feature_only_if_it_is_named(tmp_path: Path) -> None:
    by_default = task_of(shop(), tmp_path, time="date")
    assert "date" not in [column.name for column in by_default.columns]
    assert any("column 'date' is no feature" in note for note in by_default.notes)
    named = task_of(shop(), tmp_path, time="date", features=["date", "amount"])
    assert [column.name for column in named.columns] == ["date", "amount"]


def test_numbers_can_be_times_and_rows_without_a_time_are_left_out(tmp_path: Path) -> None:
    frame = shop().assign(year=lambda table: table["date"].str[5:7].astype(int) + 2000.0)
    frame.iloc[:20, frame.columns.get_loc("year")] = np.nan
    task = task_of(frame, tmp_path, time="year")
    parts = [part["year"] for part in rows_of(task, frame)]
    assert parts[0].max() < parts[1].min() and sum(map(len, parts)) == 220
    assert "20 rows without a value of the time column 'year' left out" in task.notes


def test_the_key_depends_on_the_split(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [
        {"features": ["amount"]},
        {"features": ["amount"], "group": "customer"},
        {"features": ["amount"], "time": "date"},
    ]
    assert len({task_of(shop(), tmp_path, **option).key for option in options}) == 3


def test_the_key_depends_on_the_kind_of_split_alone() -> None:
    rng = np.random.default_rng(0)
    rows = 10_001  # so many groups of one row are divided as rows are
    frame = pd.DataFrame(
        {
            "order": np.arange(rows),
            "amount": rng.normal(size=rows),
            "y": rng.choice(["a", "b"], rows),
        }
    )
    random, group = (
        Task.from_frame(frame, target="y", features=["amount"], group=group)
        for group in (None, "order")
    )
    assert (random.holdout.y == group.holdout.y).all() and np.array_equal(
        random.blocks, group.blocks
    )
    assert random.key != group.key


MISTAKES: list[tuple[dict[str, Any], Callable[[pd.DataFrame], pd.DataFrame] | None, str]] = [
    (
        {"group": "custmer"},
        None,
        "The group column 'custmer' is not a column: did you mean 'customer'",
    ),
    ({"time": "dates"}, None, "The time column 'dates' is not a column: did you mean 'date'"),
    (
        {"group": "customer", "time": "date"},
        None,
        "can't be split by group 'customer' and by time 'date' at once",
    ),
    ({"group": "y"}, None, "'y' is the target, so rows can't be split by it"),
    (
        {"group": "customer", "features": ["customer", "amount"]},
        None,
        "'customer' is the group and can't be a feature",
    ),
    ({"time": "y", "target": "customer"}, None, "'y' holds neither dates nor numbers .*'(no|yes)'"),
    (
        {"group": "customer"},
        lambda frame: frame.assign(customer=np.arange(len(frame)) % 4),
        "The group column 'customer' has only 4 different values: at least 6 are needed",
    ),
    (
        {"group": "customer"},
        lambda frame: frame.assign(customer=np.maximum(np.arange(len(frame)) - 200, 0)),
        "The largest group of 'customer' has 201 of 240 rows, too many",
    ),
    (
        {"time": "date"},
        lambda frame: frame.assign(date=frame["date"].str[:4]),
        "1 different times can't be split into 3 parts",
    ),
    (
        {"time": "date"},
        lambda frame: frame.assign(y=np.where(frame["date"] < "2020-07-01", "no", "yes")),
        "Class 'yes' of the target 'y' has no row in development of the time split by 'date'",
    ),
    (
        {"time": "date"},
        lambda frame: frame.assign(y=np.where(frame["date"] < "2020-02-15", "no", "yes")),
        "Class 'no' of the target 'y' has no row in hold-out",
    ),
]


@pytest.mark.parametrize(("options", "change", "message"), MISTAKES)
def test_a_mistake_gives_one_clear_sentence(
    tmp_path: Path, options: dict[str, Any], change: Callable | None, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        task_of(change(shop()) if change else shop(), tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_too_many_folds_are_refused(tmp_path: Path) -> None:
    frame = shop().assign(customer=np.arange(240) % 8)
    with pytest.raises(UserError, match="5 folds are asked of 4 groups in the development rows"):
        task_of(frame, tmp_path, group="customer").cv_folds(5)
    with pytest.raises(UserError, match="folds are asked of"):
        task_of(shop().assign(date=lambda t: t["date"].str[:7]), tmp_path, time="date").cv_folds(9)
