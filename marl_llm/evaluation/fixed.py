"""Fixed arms: one solution as it comes, without a team. What each is, and which package it needs.

Sizes (200 trees, 400 iterations) are those people reach for first; nothing here was tuned.
Estimators that split on values take raw numbers and numbered categories, linear ones the baseline's
preparation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from marl_llm.core.kind import Kind
from marl_llm.environment import describe_task
from marl_llm.proposals import PipelineSpec, baseline
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.screened import starting_spec
from marl_llm.tasks import Task

BASELINE = "baseline"
_HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_CATBOOST = ("CatBoostClassifier", "CatBoostRegressor")
_LIGHTGBM = ("LGBMClassifier", "LGBMRegressor")
_EXTRA_TREES = ("ExtraTreesClassifier", "ExtraTreesRegressor")


@dataclass(frozen=True)
class FixedArm:
    """A solution that depends on nothing but the kind of target, and what it is in words."""

    what: str
    spec: Callable[[Kind], PipelineSpec]


def _trees(names: tuple[str, str], **params: int) -> Callable[[Kind], PipelineSpec]:
    def spec(kind: Kind) -> PipelineSpec:
        name = names[0] if kind.is_classification else names[1]
        return PipelineSpec(
            estimator=name, impute="median", scale="none", encode="ordinal"
        ).with_params(params)

    return spec


def _one_hot(kind: Kind) -> PipelineSpec:
    return baseline(kind).model_copy(update={"encode": "one_hot"})


FIXED = {
    "hgb": FixedArm("default HistGradientBoosting", _trees(_HISTOGRAM)),
    "catboost": FixedArm("CatBoost, 400 iterations", _trees(_CATBOOST, iterations=400)),
    "lightgbm": FixedArm("LightGBM, 200 trees", _trees(_LIGHTGBM, n_estimators=200)),
    "extra_trees": FixedArm("extra trees, 200 of them", _trees(_EXTRA_TREES, n_estimators=200)),
    "linear_one_hot": FixedArm("linear model, categories one-hot", _one_hot),
    BASELINE: FixedArm("start of every episode: linear model", baseline),
}
"""All fixed arms by name."""


def start_of(task: Task) -> PipelineSpec:
    """The start of every episode on this task."""
    if any(column.kind != "text" for column in task.columns):
        return baseline(task.kind)  # as `starting_spec` does, without a card of all columns
    return starting_spec(describe_task(task).context())


def fixed_spec(arm: str, kind: Kind) -> PipelineSpec:
    """The solution of a fixed arm."""
    return FIXED[arm].spec(kind)


def missing_package(arm: str) -> str | None:
    """The package that a fixed arm needs and that is not installed; None where nothing is
    missing.
    """
    info = ESTIMATORS[fixed_spec(arm, Kind.binary).estimator]
    return None if info.available else info.module.split(".")[0]
