"""Who trains in which iteration. Pure: a schedule's name and an iteration's number in, roles out.

A role that does not train keeps its adapter: its next version is an unchanged copy, so that version
k + 1 exists after iteration k whatever the schedule.
"""

from __future__ import annotations

from typing import Literal

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES

Schedule = Literal["both", "alternate", "data_scientist_first"]


def trained_roles(schedule: Schedule, alone: int, k: int) -> tuple[str, ...]:
    """Roles that train in iteration k (from 0).

    Parameters
    ----------
    schedule : str
        "both": both roles, always. "alternate": the Data Scientist in iterations 0, 2, 4 ..., the
        Engineer between. "data_scientist_first": the Data Scientist alone for `alone` iterations,
        against a frozen Engineer; then both by turns, the Engineer first, since it has waited.
    alone : int
        Iterations; read by "data_scientist_first" only.
    k : int

    Returns
    -------
    tuple of str
    """
    if schedule == "both":
        return ROLES
    if schedule == "data_scientist_first":
        if k < alone:
            return (DATA_SCIENTIST,)
        k = k - alone + 1
    return (DATA_SCIENTIST,) if k % 2 == 0 else (ML_ENGINEER,)
