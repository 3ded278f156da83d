"""Classes with a handful of rows: they are kept where they can be learned and said by name, and
nothing is refused that can be scored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.tasks import Task
from marl_llm.tasks.screening import TrapKind
from marl_llm.tasks.splits.learnable import known_folds, learnable_folds
from marl_llm.tasks.splits.splitting import unit_folds


def small_classes(sizes: list[int], seed: int = 0) -> pd.DataFrame:
    """Classes c0, c1, ... of these sizes, in no order; `a` goes with the class."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(len(sizes)), sizes)
    frame = pd.DataFrame(
        {
            "a": code + rng.normal(size=len(code)),
            "b": rng.normal(size=len(code)),
            "town": rng.choice(["u", "v", "w"], len(code)),
            "day": rng.permutation(len(code)),
            "y": [f"c{c}" for c in code],
        }
    )
    return frame.sample(frac=1, random_state=seed)


def task_of(sizes: list[int], path: Path, **options: Any) -> Task:
    small_classes(sizes).to_csv(path / "t.csv", index=False)
    return Task.from_csv(path / "t.csv", target="y", **options)


def rows_by_part(task: Task) -> list[list[int]]:
    parts = (task.development, task.holdout, task.test)
    return [np.bincount(part.y, minlength=len(task.classes)).tolist() for part in parts]


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([80, 60, 1], [[40, 30, 1], [20, 15, 0], [20, 15, 0]]),
        ([80, 60, 2, 3], [[40, 30, 2, 3], [20, 15, 0, 0], [20, 15, 0, 0]]),
        ([80, 60, 5, 8, 1], [[40, 30, 3, 4, 1], [20, 15, 1, 2, 0], [20, 15, 1, 2, 0]]),
        ([80, 4, 2], [[40, 2, 2], [20, 1, 0], [20, 1, 0]]),
        ([80, 5], [[40, 3], [20, 1], [20, 1]]),
        ([80, 4], [[40, 2], [20, 1], [20, 1]]),
    ],
    ids=str,
)
def test_a_class_too_small_for_three_parts_is_in_development_whole(sizes, parts, tmp_path):
    task = task_of(sizes, tmp_path)
    assert rows_by_part(task) == parts and task.classes == tuple(f"c{i}" for i in range(len(sizes)))
    whole = [
        f"'c{c}' ({n} row{'s' if n > 1 else ''})" for c, n in enumerate(sizes) if n == parts[0][c]
    ]
    notes = [note for note in task.notes if "all in development" in note]
    assert notes == (
        [f"classes of 'y' whose rows are all in development, too few to divide: {', '.join(whole)}"]
        * bool(whole)
    )


@pytest.mark.parametrize("sizes", [[80, 3], [80, 1], [80, 2, 2], [80, 3, 3, 3]], ids=str)
def test_a_target_without_two_classes_to_score_is_refused_in_one_sentence(sizes, tmp_path):
    with pytest.raises(
        UserError, match=r"needs two classes of at least 4 rows, .* it has 'c1' \(\d rows?\)"
    ) as caught:
        task_of(sizes, tmp_path)
    assert "\n" not in str(caught.value)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(2, 5), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_every_fold_is_fitted_on_three_rows_of_each_class_or_on_all(sizes, k, seed):
    y = np.repeat(np.arange(len(sizes) + 2), [*sizes, 20, 30])
    units = np.arange(len(y))
    before = unit_folds(y, units, k, seed)
    for (train, valid), (_, asked) in zip(learnable_folds(before, y, units), before, strict=True):
        assert sorted([*train, *valid]) == list(range(len(y))) and set(valid) <= set(asked)
        assert (np.bincount(y[train]) >= np.minimum(np.bincount(y), 3)).all()
        large = np.bincount(y) >= 15
        assert all(np.isin(asked[large[y[asked]]], valid))


def test_of_two_classes_the_small_one_is_validated_too():
    y = np.repeat([0, 1], [40, 3])
    folds = learnable_folds(unit_folds(y, np.arange(43), 3, 0), y, np.arange(43))
    assert [np.bincount(y[valid]).tolist()[1:] for _, valid in folds] == [[1], [1], [1]]


def test_copies_of_a_row_move_to_training_together():
    y, units = np.repeat([0, 1, 2], [20, 20, 4]), np.r_[np.arange(40), [40, 40, 41, 41]]
    for train, valid in learnable_folds(unit_folds(y, units, 2, 0), y, units):
        assert not set(units[train]) & set(units[valid]) and (y[train] == 2).sum() == 4


def test_folds_of_groups_are_not_validated_on_classes_that_their_training_lacks():
    y = np.array([0, 1, 0, 1, 2, 2])
    folds = [(np.array([0, 1]), np.array([2, 3, 4, 5])), (np.array([2, 3]), np.array([4, 5]))]
    (_, first), (_, second) = known_folds(folds, y)
    assert first.tolist() == [2, 3] and second.tolist() == [4, 5]


def test_a_small_class_that_comes_last_in_time_is_said_and_not_refused(tmp_path):
    frame = small_classes([80, 60, 3])
    frame.loc[frame["y"] == "c2", "day"] = 1000 + np.arange(3)
    frame.to_csv(tmp_path / "t.csv", index=False)
    task = Task.from_csv(tmp_path / "t.csv", target="y", time="day")
    (said,) = [trap.message for trap in task.traps if trap.kind is TrapKind.absent_class]
    assert said == "Class 'c2' (3 rows) of 'y' not in development and hold-out: cannot be learned."
    frame.loc[frame["y"] == "c1", "day"] += 1000
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        UserError, match="Class 'c1' of the target 'y' has no row in development of the time split"
    ):
        Task.from_csv(tmp_path / "t.csv", target="y", time="day")
