"""Fitting specs and generated code in this process, on a small frame with numbers, categories, a
date and a text.
"""

from __future__ import annotations

import functools
import random
import warnings

import numpy as np
import pandas as pd
from delivered import SMALL

from marl_llm.agents.full_space import full_action
from marl_llm.core.kind import Kind
from marl_llm.environment import TaskCard, describe_task
from marl_llm.proposals import PipelineSpec, Tune, apply, baseline, prelude_for, resolve_columns
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.ops.feature import Feature
from marl_llm.tasks import Task
from tests.fixtures import small_frame


@functools.cache
def mixed_task(kind: Kind) -> Task:
    """The columns of `small_frame`, a date and a text."""
    rng = np.random.default_rng(1)
    frame = small_frame(kind, rows=360)
    days = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 900, len(frame)), unit="D")
    words = np.array(
        [
            "parcel",
            "late",
            "broken",
            "thanks",
            "quick",
            "refund",
            "again",
            "courier",
            "lost",
            "never",
            "good",
            "bad",
        ]
    )
    frame["bought on"] = days
    frame["remark"] = [" ".join(rng.choice(words, rng.integers(3, 8))) for _ in range(len(frame))]
    return Task.from_frame(frame, target="outcome", name=f"mixed-{kind}")


@functools.cache
def mixed_card(kind: Kind) -> TaskCard:
    """The card of `mixed_task`."""
    return describe_task(mixed_task(kind))


def columns_of(feature: Feature, kind: Kind) -> tuple[str, ...]:
    """Columns of `mixed_task` that a feature takes: as few as may be, but two where order means
    nothing.
    """
    columns, takes = mixed_card(kind).columns, feature.takes
    first = next(c.alias for c in columns if c.kind in takes.allowed(0))
    rest = [c.alias for c in columns if c.kind in takes.kinds and c.alias != first]
    return takes.arranged((first, *rest)[: min(max(takes.least, 2), takes.most)])


def cheap(spec: PipelineSpec) -> PipelineSpec:
    """The same solution with few trees and iterations."""
    if spec.members:
        return spec.model_copy(update={"members": tuple(cheap(m) for m in spec.members)})
    return spec.with_params(
        {p.name: SMALL[p.name] for p in ESTIMATORS[spec.estimator].params if p.name in SMALL}
    )


def wandered(seed: int, kind: Kind, steps: int = 5) -> PipelineSpec:
    """A solution some valid changes away from the baseline, from everything that can be
    proposed.
    """
    rng, card = random.Random(seed), mixed_card(kind)
    spec, solutions = (
        baseline(kind),
        {1: PipelineSpec(estimator=baseline(kind).estimator, scale="none")},
    )
    for _ in range(rng.randint(0, steps)):
        action = full_action(
            rng, card, spec, ("propose_model", "tune", "engineer_features"), solutions
        )
        if isinstance(action, Tune) and action.regions:
            continue
        spec = apply(resolve_columns(action, card.context()), spec, card.context(), solutions)
    return spec


def predicted(
    estimator, kind: Kind, positive: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels and probabilities of 50 rows after fitting on 110; `positive`: a target above zero."""
    task = mixed_task(kind)
    y = (
        np.abs(task.development.y) + 0.1
        if positive and kind is Kind.regression
        else task.development.y
    )
    np.random.seed(3)
    random.seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(task.development.X.iloc[:110], y[:110])
        X = task.development.X.iloc[110:160]
        return estimator.predict(X), estimator.predict_proba(X) if hasattr(
            estimator, "predict_proba"
        ) else None


def executed(code: str):
    """The pipeline that a code builds after its prelude."""
    names: dict = {}
    exec(prelude_for(code) + "\n" + code, names)
    return names["build_pipeline"]()
