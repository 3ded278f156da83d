"""Noisy tasks: small, repeatable, and each kind as it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kurtosis

from marl_llm.core.kind import Kind
from marl_llm.tasks.procedural.noisy import KINDS, noisy_frame, noisy_kind, noisy_task

SEEDS = range(5 * len(KINDS))


def of_kind(kind: str) -> list[tuple[pd.DataFrame, Kind]]:
    return [noisy_frame(seed) for seed in SEEDS if noisy_kind(seed) == kind]


def test_a_seed_is_a_task_and_kinds_take_turns():
    pd.testing.assert_frame_equal(noisy_frame(3)[0], noisy_frame(3)[0])
    assert not noisy_frame(3)[0].equals(noisy_frame(3 + len(KINDS))[0])
    assert [noisy_kind(seed) for seed in range(len(KINDS))] == list(KINDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_task_can_be_split_and_has_60_to_300_rows(seed: int):
    task = noisy_task(seed)
    rows = len(task.development) + len(task.holdout) + len(task.test)
    assert 60 <= rows <= 300 and task.name == f"noisy-{seed}" and len(task.test) >= 10


@pytest.mark.parametrize("kind", ["pareto", "lognormal", "student t"])
def test_heavy_tails_are_heavy(kind: str):
    tables = of_kind(kind)
    assert all(found is Kind.regression for _, found in tables)
    assert np.median([kurtosis(frame["target"]) for frame, _ in tables]) > 3


def test_rare_classes_are_rare_and_can_be_split():
    for frame, kind in of_kind("imbalanced"):
        sizes = frame["target"].value_counts()
        assert (
            kind.is_classification
            and sizes.min() >= 8
            and sizes.min() / len(frame) < 0.16 < sizes.max() / len(frame)
        )


def test_few_rows_and_many_columns():
    assert all(len(frame) <= 100 for frame, _ in of_kind("few rows"))
    assert all(frame.shape[1] > 30 for frame, _ in of_kind("many columns"))


def test_noise_holds_no_signal_and_a_weak_one_holds_some():
    order = {"low": 0, "middle": 1, "high": 2}

    def follows(kind: str) -> float:
        """Mean rank correlation of the target with the first column, over 100 tasks."""
        tables = [
            noisy_frame(seed)[0] for seed in range(100 * len(KINDS)) if noisy_kind(seed) == kind
        ]
        targets = [
            pd.Series(f["target"].map(lambda cell: order.get(cell, cell)).astype(float))
            for f in tables
        ]
        return float(
            np.mean(
                [
                    pd.Series(f["n0"]).rank().corr(y.rank())
                    for f, y in zip(tables, targets, strict=True)
                ]
            )
        )

    assert abs(follows("pure noise")) < 0.03 and 0.08 < follows("weak signal") < 0.35
