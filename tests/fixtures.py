"""What tests of proposals, agents, environment and rollout share: small tasks in which a forest
beats the baseline, and one real sandbox of two slots for the whole session. A directory's conftest
imports what it needs.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from marl_llm.core.kind import Kind
from marl_llm.environment import EnvironmentConfig, TaskCard, TeamEnv, describe_task
from marl_llm.proposals import Context
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
SLOTS = 2
CONFIG = EnvironmentConfig(steps=3, cv_folds=2, resamples=200)


def small_frame(kind: Kind, rows: int = 480, seed: int = 0) -> pd.DataFrame:
    """Three numbers (one skewed, one with gaps), two categories (one with gaps) and a target ruled
    by an interaction.
    """
    rng = np.random.default_rng(seed)
    size, gap, noise = np.exp(rng.normal(size=rows)), rng.normal(size=rows), rng.normal(size=rows)
    colour, shape = (
        rng.choice(["red", "green", "blue"], rows),
        rng.choice(["round", "square"], rows),
    )
    truth = (
        2.0 * np.sign(gap) * np.sign(np.log(size)) + (colour == "red") + 0.3 * rng.normal(size=rows)
    )
    target = {
        Kind.binary: np.where(truth > 0.3, "yes", "no"),
        Kind.multiclass: np.where(truth > 1, "high", np.where(truth < -1, "low", "mid")),
        Kind.regression: truth,
    }[kind]
    return pd.DataFrame(
        {
            "Body Size": size,
            "gap": np.where(rng.random(rows) < 0.1, np.nan, gap),
            "noise": noise,
            "colour": colour,
            "Shape; #1": np.where(rng.random(rows) < 0.1, None, shape),
            "outcome": target,
        }
    )


@functools.cache
def small_task(kind: Kind, rows: int = 480) -> Task:
    """The task of `small_frame`: columns x0 to x2 numeric, x3 and x4 categorical."""
    return Task.from_frame(small_frame(kind, rows), target="outcome", name=f"small-{kind}")


@functools.cache
def small_card(kind: Kind) -> TaskCard:
    """The card of `small_task`."""
    return describe_task(small_task(kind))


@functools.cache
def wide_card(kind: Kind) -> TaskCard:
    """Thirty columns with long names, gaps, skew and categories."""
    rng, rows = np.random.default_rng(0), 240
    table: dict = {f"measured quantity {i}": np.exp(rng.normal(size=rows)) for i in range(20)}
    table |= {
        f"kind of customer {i}": np.where(
            rng.random(rows) < 0.2, None, rng.choice([*"abcdef"], rows)
        )
        for i in range(10)
    }
    table["y"] = (
        rng.normal(size=rows) if kind is Kind.regression else rng.choice(["a", "b", "c", "d"], rows)
    )
    return describe_task(Task.from_frame(pd.DataFrame(table), target="y"))


def context(kind: Kind) -> Context:
    """What proposals on `small_task` are checked against."""
    return small_card(kind).context()


@functools.cache
def shared_sandbox() -> Sandbox:
    """One sandbox for the session; its processes end with this one."""
    return Sandbox(slots=SLOTS)


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return shared_sandbox()


@functools.cache
def _env(kind: Kind) -> TeamEnv:
    return TeamEnv(small_task(kind), shared_sandbox(), CONFIG)


@pytest.fixture(scope="session")
def env(sandbox: Sandbox) -> TeamEnv:
    """The binary task's environment."""
    return _env(Kind.binary)


@pytest.fixture(scope="session")
def regression_env(sandbox: Sandbox) -> TeamEnv:
    """The regression task's environment."""
    return _env(Kind.regression)
