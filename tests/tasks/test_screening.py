"""Traps are found in CSVs made to hold them, and ordinary data has none."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.kind import Kind
from marl_llm.tasks import Task, load_suite, procedural_task
from marl_llm.tasks.screening import Table, Trap, TrapKind, screen
from marl_llm.tasks.screening.trap import MAX_MESSAGE, make_trap
from marl_llm.tasks.splits.copies import find_copies
from tests.fixtures import small_frame

DATA = Path(__file__).parents[2] / "data"


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Honest numbers and categories, and a target `y` that goes with them."""
    rng = np.random.default_rng(seed)
    age, income = rng.normal(40, 9, rows), np.exp(rng.normal(8, 1, rows))
    return pd.DataFrame(
        {
            "age": age.round(3),
            "income": income.round(3),
            "city": rng.choice(["Rom", "Oslo", "Bonn"], rows),
            "y": np.where(age + 9 * rng.normal(size=rows) > 40, "yes", "no"),
        }
    )


def task_of(frame: pd.DataFrame, directory: Path, **options: Any) -> Task:
    frame.to_csv(directory / "t.csv", index=False)
    return Task.from_csv(directory / "t.csv", target="y", **options)


def found(task: Task) -> dict[TrapKind, Trap]:
    assert tuple(trap.message for trap in task.traps) == task.warnings
    assert all(len(message) <= MAX_MESSAGE and "\n" not in message for message in task.warnings)
    return {trap.kind: trap for trap in task.traps}


def flags(rows: int = 400, count: int = 3, seed: int = 1) -> pd.DataFrame:
    """Columns of 0 and 1."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({f"flag_{i}": (rng.random(rows) < 0.2).astype(int) for i in range(count)})


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("seed", range(5))
def test_small_tables_have_no_trap(kind: Kind, seed: int) -> None:
    assert Task.from_frame(small_frame(kind, seed=seed), target="outcome").warnings == ()


def test_procedural_tasks_have_no_trap() -> None:
    assert {
        seed: task.warnings for seed in range(40) if (task := procedural_task(seed)).warnings
    } == {}


@pytest.mark.parametrize("suite", ["real", "bundled"])
def test_real_tables_have_no_trap_but_what_is_true_of_them(suite: str) -> None:
    true = {"cars": {TrapKind.missing_target: ()}}
    for file in load_suite(DATA / suite):
        assert {trap.kind: trap.columns for trap in file.load().traps} == true.get(file.name, {}), (
            file.name
        )


@pytest.mark.parametrize("seed", range(4))
def test_strong_but_honest_features_are_no_trap(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=400)
    close = (truth + 0.27 * rng.normal(size=400)).round(4)
    frame = table(seed=seed + 50).assign(
        close=close, flag=np.where(rng.random(400) < 0.03, truth <= 0, truth > 0)
    )
    assert abs(np.corrcoef(close, truth)[0, 1]) > 0.95
    assert task_of(frame.assign(y=truth), tmp_path).warnings == ()
    assert task_of(frame.assign(y=np.where(truth > 0, "b", "a")), tmp_path).warnings == ()
    thirds = np.where(truth > 0.5, "c", np.where(truth < -0.5, "a", "b"))
    assert task_of(frame.assign(y=thirds), tmp_path).warnings == ()


@pytest.mark.parametrize("name", ["id", "visit", "page"])
def test_a_number_that_follows_the_sorted_classes_is_found(tmp_path: Path, name: str) -> None:
    frame = table(300).sort_values("y", ignore_index=True)
    trap = found(task_of(frame.assign(**{name: np.arange(300) * 3 + 100}), tmp_path))[
        TrapKind.row_order
    ]
    assert trap.columns == (name,)


def test_a_sorted_code_is_found_left_out_or_named_as_a_feature(tmp_path: Path) -> None:
    frame = (
        table(300)
        .sort_values("y", ignore_index=True)
        .assign(code=[f"K-{i:04d}" for i in range(300)])
    )
    assert found(task_of(frame, tmp_path))[TrapKind.row_order].columns == ("code",)
    named = task_of(frame, tmp_path, features=["code", "age"])
    assert found(named)[TrapKind.row_order].columns == ("code",)


def test_a_sorted_id_is_found_in_regression(tmp_path: Path) -> None:
    frame = (
        table(300)
        .drop(columns="y")
        .rename(columns={"income": "y"})
        .sort_values("y", ignore_index=True)
    )
    assert found(task_of(frame.assign(id=np.arange(300)), tmp_path))[
        TrapKind.row_order
    ].columns == ("id",)


def test_an_id_in_a_file_in_no_order_is_no_trap(tmp_path: Path) -> None:
    assert task_of(table().assign(id=np.arange(400)), tmp_path).warnings == ()
    assert task_of(table().assign(visit=np.arange(400)), tmp_path).warnings == ()


def test_a_renamed_copy_of_the_target_is_found(tmp_path: Path) -> None:
    copy = lambda frame: frame["y"].map({"no": "stayed", "yes": "left"})  # noqa: E731
    assert found(task_of(table().assign(outcome=copy), tmp_path))[TrapKind.target_copy].columns == (
        "outcome",
    )
    coded = table().assign(outcome=lambda frame: frame["y"].map({"no": 7, "yes": 3}))
    assert found(task_of(coded, tmp_path))[TrapKind.target_copy].columns == ("outcome",)
    gaps = table().assign(outcome=copy)
    gaps.loc[::3, "outcome"] = None
    assert found(task_of(gaps, tmp_path))[TrapKind.target_copy].columns == ("outcome",)


def test_the_target_in_another_unit_is_found(tmp_path: Path) -> None:
    frame = (
        table()
        .drop(columns="y")
        .rename(columns={"age": "y"})
        .assign(kelvin=lambda frame: frame["y"] * 5 / 9 + 255)
    )
    assert found(task_of(frame, tmp_path))[TrapKind.target_copy].columns == ("kelvin",)


def test_one_column_that_determines_the_target_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    y = rng.choice(["a", "b", "c"], 400)
    detail = np.array([f"{label}{rng.integers(4)}" for label in y])
    frame = table().assign(
        y=y, detail=detail, score=[ord(label) + rng.uniform(-0.4, 0.4) for label in y]
    )
    assert found(task_of(frame, tmp_path))[TrapKind.determines_target].columns == (
        "detail",
        "score",
    )


def test_a_monotone_function_of_the_target_is_found(tmp_path: Path) -> None:
    frame = (
        table()
        .drop(columns="y")
        .rename(columns={"income": "y"})
        .assign(level=lambda frame: np.log(frame["y"]))
    )
    assert found(task_of(frame, tmp_path))[TrapKind.determines_target].columns == ("level",)


def test_a_column_that_is_missing_for_one_class_is_found(tmp_path: Path) -> None:
    frame = table().assign(reason=lambda frame: frame["city"].where(frame["y"] == "yes"))
    assert found(task_of(frame, tmp_path))[TrapKind.missingness].columns == ("reason",)


@pytest.mark.parametrize("count", [3, 10])
def test_indicators_whose_union_is_the_target_are_found(tmp_path: Path, count: int) -> None:
    frame = (
        table(600)
        .drop(columns="y")
        .join(flags(600, count))
        .assign(noise=flags(600, 1, seed=9)["flag_0"])
    )
    frame["y"] = np.where(frame.filter(like="flag_").any(axis=1), "bad", "good")
    if count == 10:
        frame = frame.assign(
            **{f"flag_{i}": frame[f"flag_{i}"] * (np.arange(600) % 3 == 0) for i in range(10)}
        )
        frame["y"] = np.where(frame.filter(like="flag_").any(axis=1), "bad", "good")
    trap = found(task_of(frame, tmp_path))[TrapKind.indicators]
    assert trap.columns == tuple(f"flag_{i}" for i in range(count))


def test_indicators_in_words_with_gaps_and_counts_are_found(tmp_path: Path) -> None:
    raw = flags(600)
    frame = table(600).drop(columns="y")
    frame["a"] = np.where(raw["flag_0"] == 1, "yes", "no")
    frame["b"] = np.where(raw["flag_1"] == 1, "x", None)
    frame["c"] = raw["flag_2"] * np.random.default_rng(0).integers(1, 9, 600)
    frame["y"] = np.where(raw.any(axis=1), "bad", "good")
    assert found(task_of(frame, tmp_path))[TrapKind.indicators].columns == ("a", "b", "c")


def test_indicators_that_must_all_be_set_are_found(tmp_path: Path) -> None:
    frame = table(600).drop(columns="y").join(1 - flags(600))
    frame["y"] = np.where(frame.filter(like="flag_").all(axis=1), "good", "bad")
    assert found(task_of(frame, tmp_path))[TrapKind.indicators].columns == (
        "flag_0",
        "flag_1",
        "flag_2",
    )


def test_the_first_indicator_that_is_set_names_the_class(tmp_path: Path) -> None:
    frame = table(900).drop(columns="y").join(flags(900, 4))
    frame["y"] = np.array(list("abcd"))[frame.filter(like="flag_").to_numpy().argmax(axis=1)]
    trap = found(task_of(frame, tmp_path))[TrapKind.indicators]
    assert set(trap.columns) >= {"flag_1", "flag_2", "flag_3"}


def test_the_number_of_set_indicators_is_found_as_classes_and_as_a_number(tmp_path: Path) -> None:
    frame = table(600).drop(columns="y").join(flags(600, 4))
    frame["y"] = frame.filter(like="flag_").sum(axis=1).clip(upper=9)
    assert found(task_of(frame[frame["y"] < 4], tmp_path))[TrapKind.formula].columns == tuple(
        f"flag_{i}" for i in range(4)
    )
    number = task_of(frame[frame["y"] < 4], tmp_path, kind="regression")
    assert found(number)[TrapKind.formula].columns == tuple(f"flag_{i}" for i in range(4))


def test_a_sum_and_a_product_of_columns_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = (
        table()
        .drop(columns="y")
        .assign(price=rng.lognormal(size=400), count=rng.integers(1, 9, 400))
    )
    total = frame.assign(y=(frame["income"] - 3 * frame["age"]).round(2))
    assert found(task_of(total, tmp_path))[TrapKind.formula].columns == ("age", "income")
    paid = frame.assign(y=(frame["price"] * frame["count"]).round(6))
    assert found(task_of(paid, tmp_path))[TrapKind.formula].columns == ("price", "count")
    nearly_one = frame.assign(y=1e6 * frame["income"] + frame["age"])
    assert found(task_of(nearly_one, tmp_path)).keys() & {
        TrapKind.determines_target,
        TrapKind.target_copy,
    }
    noisy = frame.assign(y=frame["income"] - 3 * frame["age"] + 30 * rng.normal(size=400))
    assert task_of(noisy, tmp_path).warnings == ()


def test_one_gross_value_makes_no_formula(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = table().assign(y=rng.normal(size=400), other=rng.normal(size=400))
    frame.loc[[7, 8, 9, 10], ["y", "other"]] = [[1e6, 1e6]] * 4
    assert task_of(frame, tmp_path).warnings == ()


def test_forty_percent_repeated_rows_stay_in_one_part_and_fold(tmp_path: Path) -> None:
    base = table(300)
    frame = pd.concat([base, base.sample(200, random_state=0)]).sample(frac=1, random_state=1)
    task = task_of(frame, tmp_path)
    trap = found(task)[TrapKind.duplicate_rows]
    assert trap.message.startswith("200 of 500 rows repeat another row's features:")
    parts = [set(part.X["x0"]) for part in (task.development, task.holdout, task.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 300
    assert [len(part) for part in (task.development, task.holdout, task.test)] == pytest.approx(
        [250, 125, 125], abs=6
    )
    ages = task.development.X["x0"].to_numpy()
    assert not any(set(ages[train]) & set(ages[valid]) for train, valid in task.cv_folds(3))


def test_repeated_rows_with_another_target_are_counted(tmp_path: Path) -> None:
    base = table(300)
    flipped = base.head(30).assign(y=lambda frame: frame["y"].map({"yes": "no", "no": "yes"}))
    trap = found(task_of(pd.concat([base, flipped]), tmp_path))[TrapKind.duplicate_rows]
    assert trap.message.startswith(
        "30 of 330 rows repeat another row's features, 60 with another target:"
    )


def test_a_few_repeated_rows_stay_together_without_a_warning(tmp_path: Path) -> None:
    task = task_of(pd.concat([table(), table().head(2)]), tmp_path)
    assert task.warnings == ()
    assert "2 rows repeat the features of another row: kept in one part" in task.notes


def test_rows_that_must_repeat_are_divided_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice([*"abc"], 400) for name in ("p", "q", "r")})
    task = task_of(frame.assign(y=rng.choice(["no", "yes"], 400)), tmp_path)
    assert task.warnings == () and any("divided one by one" in note for note in task.notes)
    rows = [
        set(map(tuple, part.X.to_numpy())) for part in (task.development, task.holdout, task.test)
    ]
    assert len(rows[0] & rows[1] & rows[2]) > 20


def test_copies_across_groups_are_counted(tmp_path: Path) -> None:
    base = table(300).assign(customer=np.arange(300) % 30)
    copied = pd.concat([base, base.head(150).assign(customer=lambda frame: frame["customer"] + 30)])
    trap = found(task_of(copied, tmp_path, group="customer"))[TrapKind.duplicate_rows]
    assert "rows of hold-out and test repeat development rows" in trap.message


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%d %H:%M"])
def test_a_file_ordered_by_date_is_offered_a_time_split(tmp_path: Path, form: str) -> None:
    day = pd.date_range("2021-01-01", periods=400).strftime(form)
    assert found(task_of(table().assign(day=day), tmp_path))[TrapKind.time_order].columns == (
        "day",
    )
    assert found(task_of(table().assign(day=day[::-1]), tmp_path))[TrapKind.time_order].columns == (
        "day",
    )
    assert task_of(table().assign(day=day), tmp_path, time="day").warnings == ()
    assert (
        task_of(table().assign(day=np.random.default_rng(0).permutation(day)), tmp_path).warnings
        == ()
    )


def test_empty_and_constant_columns_are_left_out_with_a_note_only(tmp_path: Path) -> None:
    task = task_of(table().assign(empty=None, constant=1), tmp_path)
    assert task.warnings == ()
    assert {
        "column 'empty' left out: it is empty",
        "column 'constant' left out: it is constant",
    } <= set(task.notes)


def test_columns_with_the_same_content_are_found(tmp_path: Path) -> None:
    frame = table().assign(Alter=lambda frame: frame["age"], town=lambda frame: frame["city"])
    task = task_of(frame, tmp_path)
    assert [trap.columns for trap in task.traps] == [("age", "Alter"), ("city", "town")]


def test_missing_targets_are_counted(tmp_path: Path) -> None:
    frame = table()
    frame.loc[:36, "y"] = None
    assert found(task_of(frame, tmp_path))[TrapKind.missing_target].message.startswith(
        "37 of 400 rows have no value"
    )


def test_a_class_too_small_to_divide_is_named(tmp_path: Path) -> None:
    frame = table()
    frame.loc[:6, "y"] = "maybe"
    assert (
        "Class 'maybe' (7 rows) of 'y' hardly enough to divide"
        in found(task_of(frame, tmp_path))[TrapKind.small_class].message
    )


def test_a_class_that_hold_out_lacks_is_named(tmp_path: Path) -> None:
    frame = table().assign(week=np.arange(400))
    frame.loc[5:60, "y"] = "maybe"
    trap = found(task_of(frame, tmp_path, time="week"))[TrapKind.absent_class]
    assert "Class 'maybe' (56 rows) of 'y' not in hold-out and test" in trap.message


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=90), min_size=1, max_size=40))
@settings(max_examples=80)
def test_a_sentence_is_one_short_line_whatever_the_names(target: str, names: list[str]) -> None:
    trap = make_trap(
        TrapKind.formula, names, f"The target {{target}} {'x' * 70}: {{columns}}.", target
    )
    assert len(trap.message) <= MAX_MESSAGE and trap.message.splitlines() == [trap.message]
    assert trap.columns == tuple(names)


def test_a_large_table_is_screened_in_seconds_and_always_alike() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({f"c{i}": rng.normal(size=100_000) for i in range(50)})
    y = (X["c1"] + rng.normal(size=len(X)) > 0).to_numpy().astype(np.int64)
    X["leak"] = np.where(y == 1, rng.uniform(1, 2, len(X)), rng.uniform(3, 4, len(X)))
    copies = find_copies(X, np.asarray(pd.util.hash_pandas_object(X, index=False)))
    parts = [np.arange(50_000), np.arange(50_000, 75_000), np.arange(75_000, 100_000)]
    large = Table(X, pd.DataFrame(), (), y, ("no", "yes"), "y", parts, copies)
    start = time.monotonic()
    traps = screen(large)
    assert time.monotonic() - start < 5
    assert [(trap.kind, trap.columns) for trap in traps] == [
        (TrapKind.determines_target, ("leak",))
    ]
    assert screen(large) == traps
