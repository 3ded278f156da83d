from __future__ import annotations

import pytest

from marl_llm.algorithms.schedule import trained_roles
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES

DS, ENG = (DATA_SCIENTIST,), (ML_ENGINEER,)


@pytest.mark.parametrize(
    ("schedule", "alone", "expected"),
    [
        ("both", 2, [ROLES] * 6),
        ("alternate", 2, [DS, ENG, DS, ENG, DS, ENG]),
        ("data_scientist_first", 1, [DS, ENG, DS, ENG, DS, ENG]),
        ("data_scientist_first", 2, [DS, DS, ENG, DS, ENG, DS]),
        ("data_scientist_first", 3, [DS, DS, DS, ENG, DS, ENG]),
    ],
)
def test_a_schedule_says_who_trains_in_each_iteration(schedule, alone, expected):
    assert [trained_roles(schedule, alone, k) for k in range(6)] == expected
