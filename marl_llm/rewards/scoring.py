"""Rewards of logged rows: facts go in, components and their sum come out. The one place where
weights meet rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.core.frames import (
    bools,
    floats,
    integers,
    names,
    optional_floats,
    texts,
    with_columns,
)
from marl_llm.rewards.config import RewardConfig
from marl_llm.rewards.outcome import FACTS, Outcome

REWARD = "reward"
"""Column of the whole reward."""
OWN = "reward_own"
"""Column of the part of it that is the call's own; the rest is shared by the turn's calls."""


def score_rows(rows: pd.DataFrame, weights: RewardConfig) -> pd.DataFrame:
    """Rows with their rewards by these weights.

    Parameters
    ----------
    rows : DataFrame
        One line per model call, with `FACTS`; missing numbers are NaN.
    weights : RewardConfig

    Returns
    -------
    DataFrame
        A copy with further columns, float32, units of skill: `reward_<name>` of each component,
        `reward_own`, and `reward`.

    Raises
    ------
    UserError
        A missing column, two components of one name, or a component of the user's own that
        cannot be imported.
    """
    outcomes, components = _outcomes(rows), weights.components()
    values = {
        one.name: np.array([one(outcome) for outcome in outcomes], np.float64) for one in components
    }
    if len(values.keys() - {"own"}) < len(components):
        listed = ", ".join(one.name for one in components)
        raise UserError(f"reward components need names of their own, other than own: {listed}.")
    nothing = np.zeros(len(rows))
    own = sum((values[one.name] for one in components if one.per_call), nothing)
    columns = {f"reward_{name}": value for name, value in values.items()}
    columns |= {OWN: own, REWARD: sum(values.values(), nothing)}
    return with_columns(rows, **{name: value.astype(np.float32) for name, value in columns.items()})


def reward_columns(rows: pd.DataFrame) -> list[str]:
    """Names of the columns that `score_rows` made."""
    return [name for name in names(rows) if name == REWARD or name.startswith("reward_")]


def _outcomes(rows: pd.DataFrame) -> list[Outcome]:
    missing = next((name for name in FACTS if name not in rows), None)
    if missing is not None:
        raise UserError(f"the rows lack the column {missing!r}, which rewards are computed from.")
    role, verdict = texts(rows, "role"), texts(rows, "verdict")
    compliance, step_gain = optional_floats(rows, "compliance"), optional_floats(rows, "step_gain")
    new_reference_gain = optional_floats(rows, "new_reference_gain")
    rungs, refused = integers(rows, "rungs").tolist(), bools(rows, "refused").tolist()
    prompt_tokens = integers(rows, "prompt_tokens").tolist()
    completion_tokens = integers(rows, "completion_tokens").tolist()
    analysis_cpu_s = floats(rows, "analysis_cpu_s").tolist()
    return [
        Outcome(
            role=role[i],
            verdict=verdict[i],
            compliance=compliance[i],
            step_gain=step_gain[i],
            new_reference_gain=new_reference_gain[i],
            rungs=rungs[i],
            refused=refused[i],
            prompt_tokens=prompt_tokens[i],
            completion_tokens=completion_tokens[i],
            analysis_cpu_s=analysis_cpu_s[i],
        )
        for i in range(len(rows))
    ]
