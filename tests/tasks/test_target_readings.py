"""Readings of targets and row numbers where two are plausible: spellings of a label, whole numbers
with a metric of another kind, a shuffled row index.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.tasks import Task, load_suite
from marl_llm.tasks.detected import detected, task_file

RMSE = {"neg_root_mean_squared_error": 1.0}


def frame(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return pd.DataFrame({"x": x, "z": rng.normal(size=rows), "up": x + rng.normal(size=rows) > 0})


def labelled(yes: list[str], no: list[str]) -> pd.DataFrame:
    data = frame()
    spelled = [(yes if up else no)[i % len(yes)] for i, up in enumerate(data.pop("up"))]
    return data.assign(y=spelled)


def csv_task(data: pd.DataFrame, directory: Path, **keys: object) -> Task:
    data.to_csv(directory / "t.csv", index=False)
    return Task.from_csv(directory / "t.csv", target="y", **keys)  # pyright: ignore[reportArgumentType]


SPELLED = labelled(["Yes", "yes", "Yes", "YES "], ["No", "no", "No", "NO"])


def test_labels_that_differ_in_case_or_blanks_are_one_class(tmp_path: Path):
    task = csv_task(SPELLED, tmp_path)
    assert task.classes == ("No", "Yes")
    assert any("differ in case or blanks only" in note for note in task.notes)
    assert any("labels: exact in the task file" in line for line in detected(task))
    (tmp_path / "t.yaml").write_text(task_file(task, "t.csv"))
    assert "labels: merged" in (tmp_path / "t.yaml").read_text()
    assert load_suite(tmp_path / "t.yaml")[0].load().key == task.key


def test_labels_can_be_kept_apart(tmp_path: Path):
    assert len(csv_task(SPELLED, tmp_path, labels="exact").classes) == 6
    with pytest.raises(UserError, match="'labels' can't be 'same': choose merged or exact"):
        csv_task(SPELLED, tmp_path, labels="same")


def test_short_labels_stay_apart_with_a_word(tmp_path: Path):
    letters = labelled(["A", "a"], ["B", "b"])
    task = csv_task(letters, tmp_path)
    assert task.classes == ("A", "B", "a", "b")
    assert any("labels: merged in the task file" in note for note in task.notes)
    assert len(csv_task(letters, tmp_path, labels="merged").classes) == 2


def test_labels_that_differ_otherwise_are_not_spoken_of(tmp_path: Path):
    assert len(csv_task(labelled(["yes", "yes!"], ["no", "no!"]), tmp_path).notes) == 1


def stars() -> pd.DataFrame:
    data = frame()
    return data.drop(columns="up").assign(y=np.clip(np.round(data["x"] + 3), 1, 5))


def test_a_regression_metric_makes_whole_numbers_a_regression_target(tmp_path: Path):
    assert csv_task(stars(), tmp_path).kind is Kind.multiclass
    assert csv_task(stars(), tmp_path, metrics=RMSE).kind is Kind.regression
    with pytest.raises(UserError, match="does not fit a multiclass target"):
        csv_task(stars(), tmp_path, metrics=RMSE, kind="multiclass")


def test_a_metric_of_classes_makes_many_whole_numbers_classes(tmp_path: Path):
    data = stars().assign(y=np.arange(300) % 15)
    assert csv_task(data, tmp_path).kind is Kind.regression
    assert csv_task(data, tmp_path, metrics={"accuracy": 1.0}).kind is Kind.multiclass


def test_the_kind_of_the_target_is_shown(tmp_path: Path):
    shown = detected(csv_task(stars(), tmp_path))
    assert "target 'y': multiclass, 5 classes, or with kind regression a number" in shown
    assert "target 'y': regression" in detected(csv_task(stars(), tmp_path, metrics=RMSE))


def numbered(name: str, numbers: np.ndarray, directory: Path) -> Task:
    data = frame()
    data.insert(0, name, numbers)
    return csv_task(data.rename(columns={"up": "y"}), directory)


SHUFFLED = np.random.default_rng(1).permutation(300)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "row", "index"])
@pytest.mark.parametrize("larger", [1, 4])
def test_a_shuffled_row_index_is_left_out_and_said(tmp_path: Path, name: str, larger: int):
    numbers = np.random.default_rng(1).permutation(300 * larger)[:300]
    task = numbered(name, numbers, tmp_path)
    assert [column.name for column in task.columns] == ["x", "z"]
    assert any("all different, like row numbers" in note for note in task.notes)


def test_an_observation_number_is_left_out_only_if_it_counts_all_rows(tmp_path: Path):
    assert len(numbered("obs", SHUFFLED + 1, tmp_path).columns) == 2
    assert len(numbered("obs", SHUFFLED * 3, tmp_path).columns) == 3


@pytest.mark.parametrize("name", ["#", "№", "Nº", "X", "V1", "...1", "level_0", "L.p.", "Sample"])
def test_a_shuffled_row_number_is_left_out_under_its_many_names(tmp_path: Path, name: str):
    assert len(numbered(name, SHUFFLED + 1, tmp_path).columns) == 2


def test_an_index_that_begins_anew_in_each_joined_file_is_left_out(tmp_path: Path):
    assert len(numbered("Unnamed: 0", np.arange(300) % 150, tmp_path).columns) == 2
    assert len(numbered("part", np.arange(300) % 150, tmp_path).columns) == 3


def test_what_counts_the_rows_under_another_name_is_kept_and_said(tmp_path: Path):
    assert any("counts the rows" in note for note in numbered("price", SHUFFLED, tmp_path).notes)
    for name, numbers in (("rank", SHUFFLED), ("price", SHUFFLED * 3), ("t", np.arange(300))):
        notes = numbered(name, numbers, tmp_path).notes
        assert not any("counts the rows" in note for note in notes)


@pytest.mark.parametrize("name", ["age", "price", "rank"])
def test_different_whole_numbers_under_another_name_stay(tmp_path: Path, name: str):
    assert len(numbered(name, SHUFFLED, tmp_path).columns) == 3


def test_a_named_kind_keeps_a_row_index(tmp_path: Path):
    data = frame().rename(columns={"up": "y"}).assign(row=SHUFFLED)
    assert len(csv_task(data, tmp_path, kinds={"row": "numeric"}).columns) == 3


def test_names_of_digits_that_are_too_many_for_classes_are_numbers_and_it_is_said(tmp_path: Path):
    path = tmp_path / "codes.csv"
    rows = [f"{i % 7},{i:04d}" for i in range(300)]
    path.write_text("\n".join(["a,y", *rows]))
    task = Task.from_csv(path, target="y")
    assert task.kind is Kind.regression
    assert any("more than 200" in note for note in task.notes)
    path.write_text("\n".join(["a,y", *(f"{i % 7},{i % 9:04d}" for i in range(300))]))
    assert Task.from_csv(path, target="y").classes[:2] == ("0000", "0001")
