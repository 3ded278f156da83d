"""Procedural tasks: reproducible, valid, varied, and no model family is right for most of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import check_metrics
from marl_llm.tasks import Task, procedural_frame, procedural_task

SEEDS = range(1000, 1120)


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [procedural_task(seed) for seed in SEEDS]


def test_the_same_seed_gives_the_same_task_and_another_seed_another_one() -> None:
    assert procedural_task(5).key == procedural_task(5).key != procedural_task(6).key
    pd.testing.assert_frame_equal(procedural_frame(5)[0], procedural_frame(5)[0])


def test_sizes_and_kinds_are_as_promised(tasks: list[Task]) -> None:
    rows = np.array([len(task.development) + len(task.holdout) + len(task.test) for task in tasks])
    assert rows.min() >= 200 and rows.max() <= 2000 and np.median(rows) <= 700
    columns = np.array([len(task.columns) for task in tasks])
    assert columns.min() >= 3 and columns.max() <= 24 and np.mean(columns <= 16) > 0.85
    kinds = Counter(task.kind for task in tasks)
    assert 0.3 < kinds[Kind.binary] / len(tasks) < 0.6
    assert 0.1 < kinds[Kind.multiclass] / len(tasks) < 0.3
    assert 0.2 < kinds[Kind.regression] / len(tasks) < 0.5


def test_metrics_fit_and_classes_are_named(tasks: list[Task]) -> None:
    for task in tasks:
        assert check_metrics(task.metrics, task.kind) == task.metrics
        assert len(task.classes) == (
            0 if task.kind is Kind.regression else len(np.unique(task.development.y))
        )
        assert task.name.startswith("procedural-")


def test_the_difficulties_all_occur(tasks: list[Task]) -> None:
    def share(condition: list[bool]) -> float:
        return float(np.mean(condition))

    frames = [task.development.X for task in tasks]
    numeric = [frame.select_dtypes("number") for frame in frames]
    assert 0.3 < share([frame.isna().any(axis=None) for frame in frames]) < 0.8
    assert (
        0.3
        < share([any(column.kind == "categorical" for column in task.columns) for task in tasks])
        < 0.8
    )
    assert share([bool((frame.skew().abs() > 2).any()) for frame in numeric]) > 0.4
    binary = [task for task in tasks if task.kind is Kind.binary]
    assert 0.2 < share([float(np.mean(task.development.y)) < 0.26 for task in binary]) < 0.6
