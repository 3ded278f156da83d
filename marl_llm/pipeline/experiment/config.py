"""What is compared: a strict YAML file with one base recipe, and arms that differ from it in the
keys they name.

In: the file. Out: an `Experiment`, which gives the whole recipe of every arm and seed. An arm with
`of` is not trained: the other arm's adapters are evaluated, each played by the other role.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from marl_llm.algorithms.registry import DEFAULT, switched
from marl_llm.core.errors import UserError
from marl_llm.workspace.recipe import Recipe, parse, read_mapping, require_disjoint

_NAME = re.compile(r"[a-z][a-z0-9_]*")
UNTRAINED = "untrained"
"""The team that all arms start from."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArmSection(_Section):
    """One way of training, or of playing with what another arm trained."""

    about: str = Field(default="", description="what is compared, in words, for the report")
    seeds: list[int] = Field(default=[0], min_length=1, description="one run each")
    of: str | None = Field(
        default=None, description="arm whose adapters are swapped between the roles and evaluated"
    )
    at: list[int] | None = Field(
        default=None, description="versions evaluated, instead of evaluation.at"
    )
    overrides: dict[str, object] = Field(
        default={}, description="keys of the recipe that differ from the base"
    )


class EvaluationSection(_Section):
    """Where every arm is measured, always with the same tasks, splits and seeds."""

    at: list[int] | None = Field(
        default=None,
        description="versions evaluated; null: in the middle and at the end (before: the "
        "untrained team)",
    )
    tasks: int = Field(default=32, ge=2, description="unseen procedural tasks")
    first_seed: int = Field(
        default=950_000, ge=0, description="seed of the first of them; far from all others"
    )
    repeats: int = Field(default=1, ge=1, description="episodes of each procedural task")
    benchmark_repeats: int = Field(
        default=2, ge=1, description="episodes of each CSV of the benchmark, other splits"
    )
    seed: int = Field(
        default=0, ge=0, description="splits, folds and episodes of the evaluation follow from it"
    )


class Experiment(_Section):
    """Everything `marl-llm experiment` is told."""

    name: str = Field(
        default="experiment", description="part of the runs' names", pattern=r"^[A-Za-z0-9_.-]+$"
    )
    base: str | dict[str, object] = Field(
        description="recipe that all arms start from: a file, seen from this one, or the recipe "
        "itself"
    )
    overrides: dict[str, object] = Field(
        default={}, description="keys of the base that all arms change"
    )
    main: str = Field(default="per_role", description="arm that the targets are about")
    at_once: int = Field(
        default=2, ge=1, le=8, description="runs at the same time, each with a server of its own"
    )
    evaluation: EvaluationSection = Field(
        default_factory=EvaluationSection, description="of every arm"
    )
    arms: dict[str, ArmSection] = Field(
        min_length=1, description="by name, in the order in which they are run"
    )

    def recipe(self, arm: str, seed: int) -> Recipe:
        """The recipe of an arm (of the arm whose adapters it plays with) and seed; another seed
        sees other tasks.

        Raises
        ------
        UserError
            The merged keys are no recipe; the sentence names the arm.
        """
        assert isinstance(self.base, dict), "resolved by load_experiment"
        section = self.arms[self.arms[arm].of or arm]
        content = merged(merged(self.base, self.overrides), section.overrides)
        content = merged(
            content, {"name": f"{self.name}-{self.arms[arm].of or arm}-s{seed}", "seed": seed}
        )
        recipe = parse(content, Recipe, f"arm '{arm}'")
        tasks = recipe.tasks
        first = tasks.first_seed + seed * recipe.iterations * tasks.per_iteration
        return recipe.model_copy(update={"tasks": tasks.model_copy(update={"first_seed": first})})

    def versions(self, arm: str) -> tuple[int, ...]:
        """Versions of an arm's adapters that are evaluated."""
        last = self.recipe(arm, self.arms[arm].seeds[0]).iterations
        wanted = self.arms[arm].at or self.evaluation.at or [last // 2, last]
        return tuple(sorted({version for version in wanted if 0 < version <= last}))


def merged(base: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    """`base` with `changes`; mappings are merged key by key, anything else is replaced. Neither is
    changed.

    Where another algorithm is named, keys of the former one that it does not have are left out.
    """
    result = copy.deepcopy(base)
    former = result.get("algorithm", DEFAULT)
    name = changes.get("algorithm", former)
    if isinstance(name, str) and name != former:
        result = switched(result, name)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            result[key] = merged(old, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def load_experiment(path: Path) -> Experiment:
    """Read an experiment, with its base recipe.

    Raises
    ------
    UserError
        A file is missing or no YAML mapping; a key is unknown or ill-typed; an arm cannot be: the
        sentence names it.
    """
    experiment = parse(read_mapping(path), Experiment, str(path))
    if isinstance(experiment.base, str):
        experiment = experiment.model_copy(update={"base": _read_base(path, experiment.base)})
    for name, arm in experiment.arms.items():
        _check_arm(path, experiment, name, arm)
    if experiment.main not in experiment.arms:
        raise UserError(
            f"{path}: main: there is no arm '{experiment.main}'; there is "
            f"{', '.join(experiment.arms)}."
        )
    return experiment


def _read_base(path: Path, base: str) -> dict[str, object]:
    try:
        return read_mapping(path.parent / base)
    except UserError as error:
        raise UserError(f"{path}: base: {error}") from None


def _check_arm(path: Path, experiment: Experiment, name: str, arm: ArmSection) -> None:
    where = f"{path}: arms.{name}"
    if not _NAME.fullmatch(name) or name == UNTRAINED:
        raise UserError(
            f"{where}: an arm's name is made of a-z, 0-9 and _, and is not '{UNTRAINED}'; "
            "choose another."
        )
    if len(set(arm.seeds)) != len(arm.seeds) or min(arm.seeds) < 0:
        raise UserError(f"{where}.seeds: seeds are distinct and not negative; write each once.")
    if arm.of is not None:
        other = experiment.arms.get(arm.of)
        if other is None or other.of is not None:
            raise UserError(f"{where}.of: '{arm.of}' is no arm that is trained; name one.")
        if arm.overrides or not set(arm.seeds) <= set(other.seeds):
            raise UserError(
                f"{where}: it plays with {arm.of}'s adapters: no overrides, and only seeds "
                f"of {arm.of}."
            )
    for seed in arm.seeds:
        _check_tasks(f"{where}, seed {seed}", experiment, experiment.recipe(name, seed))
    if not experiment.versions(name):
        raise UserError(
            f"{where}: no version is evaluated; name some in `at`, up to the number of iterations."
        )


def _check_tasks(where: str, experiment: Experiment, recipe: Recipe) -> None:
    first = experiment.evaluation.first_seed
    played = range(first, first + experiment.evaluation.tasks)
    try:
        require_disjoint(recipe.seeds() | {"evaluation.first_seed": played})
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from None


def dump_experiment(experiment: Experiment) -> str:
    """The resolved experiment as YAML, with the whole base recipe."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
