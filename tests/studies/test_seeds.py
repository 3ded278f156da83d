"""Several seeds of one arm: means over seeds, intervals over tasks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import seeds

from marl_llm.core.errors import UserError


def _report(**arms: list[float | None]) -> Any:
    results = [
        SimpleNamespace(arm=arm, trial=f"t{i}", task=f"t{i}", test=test)
        for arm, tests in arms.items()
        for i, test in enumerate(tests)
    ]
    return SimpleNamespace(results=results)


def test_seeds_are_averaged_and_tasks_are_what_the_interval_is_over() -> None:
    one = _report(baseline=[0.1, 0.2, 0.3], trained=[0.2, 0.4, 0.3], untrained=[0.2, 0.2, 0.3])
    two = _report(baseline=[0.1, 0.2, 0.3], trained=[0.4, 0.2, None])
    found = {
        line.what: line.difference for line in seeds.lines([one, two], "trained", ["untrained"])
    }
    assert found["seed 0, gain"].mean == pytest.approx(0.1) and found[
        "seed 1, gain"
    ].mean == pytest.approx(0.15)
    assert (found["all, minus untrained"].tasks, found["all, minus untrained"].trials) == (3, 5)
    assert found["all, minus untrained"].mean == pytest.approx((0.1 + 0.1 + 0.0) / 3)


def test_an_arm_that_nobody_played_is_named() -> None:
    report = _report(baseline=[0.1], trained=[0.2])
    with pytest.raises(UserError, match="the arm no_agents"):
        seeds.lines([report], "trained", ["no_agents"])
    with pytest.raises(UserError, match="place 1 has no score of an arm other"):
        seeds.lines([report], "other", [])
