"""The one configuration object: a YAML file, strict, composed of sections.

An unknown key is an error that names the key and its nearest neighbour. The recipe stands above the
rooms whose sections it holds: a room below declares and reads its own section, and those above are
handed the sections that they use.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from marl_llm.agents.prompts import PromptConfig
from marl_llm.algorithms.base import Algorithm
from marl_llm.algorithms.config import TrainingSection
from marl_llm.algorithms.registry import DEFAULT, algorithm_class
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.credit import CreditConfig
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.config import RolloutConfig
from marl_llm.sandbox.config import SandboxSection
from marl_llm.serving.config import ServingSection
from marl_llm.tasks.mixture import TaskSection
from marl_llm.workspace.sections import (
    EvaluationSection,
    ModelSection,
    PlaySections,
    PromotionSection,
    Section,
    WarmStartSection,
)

M = TypeVar("M", bound=BaseModel)


class Recipe(Section):
    """Everything a run is told."""

    name: str = Field(
        default="run",
        description="name of the run, part of the adapters' names",
        pattern=r"^[A-Za-z0-9_.-]+$",
    )
    seed: int = Field(default=0, ge=0, description="everything random in the run follows from it")
    iterations: int = Field(default=4, ge=1, description="collect-then-train rounds")
    model: ModelSection = Field(default_factory=ModelSection, description="base model and adapters")
    tasks: TaskSection = Field(default_factory=TaskSection, description="training tasks")
    environment: EnvironmentConfig = Field(
        default_factory=EnvironmentConfig, description="evaluation, gains"
    )
    rewards: RewardConfig = Field(
        default_factory=RewardConfig, description="weights of the rewards"
    )
    prompts: PromptConfig = Field(
        default_factory=PromptConfig, description="how prompts are written"
    )
    rollout: RolloutConfig = Field(
        default_factory=RolloutConfig, description="tree, concurrency, sampling"
    )
    serving: ServingSection = Field(default_factory=ServingSection, description="who answers")
    sandbox: SandboxSection = Field(
        default_factory=SandboxSection, description="where candidates run"
    )
    credit: CreditConfig = Field(
        default_factory=CreditConfig, description="from rewards to advantages"
    )
    warm_start: WarmStartSection = Field(
        default_factory=WarmStartSection, description="before iteration 0"
    )
    training: TrainingSection = Field(default_factory=TrainingSection, description="per role")
    promotion: PromotionSection = Field(default_factory=PromotionSection, description="of adapters")
    evaluation: EvaluationSection = Field(
        default_factory=EvaluationSection, description="unseen tasks"
    )

    def seeds(self) -> dict[str, range]:
        """Seeds of procedural tasks by the key that says where they begin: training, validation,
        evaluation.
        """
        tasks, validation, evaluation, warm = (
            self.tasks,
            self.promotion,
            self.evaluation,
            self.warm_start,
        )
        count = tasks.procedural(self.iterations * tasks.per_iteration)
        return {
            "tasks.first_seed": range(tasks.first_seed, tasks.first_seed + count),
            "warm_start.first_seed": range(warm.first_seed, warm.first_seed + warm.episodes),
            "promotion.first_seed": range(
                validation.first_seed, validation.first_seed + validation.tasks
            ),
            "evaluation.first_seed": range(
                evaluation.first_seed, evaluation.first_seed + evaluation.tasks
            ),
        }

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        training = self.training
        require_disjoint(self.seeds())
        if self.model.adapters == "shared" and training.schedule != "both":
            raise ValueError(
                "model.adapters: shared trains one adapter, so training.schedule must be both"
            )
        if self.model.adapters == "shared" and training.data_scientist != training.ml_engineer:
            raise ValueError(
                "model.adapters: shared trains one adapter, so training.data_scientist and "
                "training.ml_engineer must be the same"
            )
        for role in ROLES:
            wanted, sampled = training.of(role).sampling_temperature, self.rollout.temperature
            if wanted not in (None, sampled):
                raise ValueError(
                    f"training.{role}.temperature ({wanted:g}) must be rollout.temperature "
                    f"({sampled:g}), at which its rows are sampled; set both"
                )
        if self.credit.alpha > 0 and not any(training.of(role).reads_credit for role in ROLES):
            name = training.data_scientist.algorithm
            raise ValueError(f"credit.alpha: {name} takes own rewards only; set it to 0")
        return self

    def same_work(self, other: Recipe) -> bool:
        """Tell whether a run of one may go on with the other: how long it is and how its server is
        run may differ.
        """
        return self._work() == other._work()

    def _work(self) -> Recipe:
        serving = self.serving.model_dump(exclude=set(ServingSection.OPERATION))
        return self.model_copy(
            update={"iterations": 1, "serving": ServingSection.model_validate(serving)}
        )

    @property
    def playing(self) -> PlaySections:
        """What playing reads of it."""
        return PlaySections(
            name=self.name,
            seed=self.seed,
            model=self.model,
            environment=self.environment,
            rewards=self.rewards,
            prompts=self.prompts,
            rollout=self.rollout,
            serving=self.serving,
            sandbox=self.sandbox,
            scripted_error_rate=self.evaluation.scripted_error_rate,
        )

    def credit_of(self, role: str) -> CreditConfig:
        """Credit as a role's algorithm takes it."""
        return self.training.of(role).credit(self.credit)


def require_disjoint(seeds: dict[str, range]) -> None:
    """Training, validation and evaluation never share a procedural task.

    Raises
    ------
    ValueError
        Two of the ranges overlap; the sentence names them.
    """
    found = [(name, part) for name, part in seeds.items() if len(part)]
    for i, (name, part) in enumerate(found):
        for other, taken in found[:i]:
            if part.start < taken.stop and taken.start < part.stop:
                raise ValueError(
                    f"{other} ({taken.start} to {taken.stop - 1}) and {name} ({part.start} to "
                    f"{part.stop - 1}) share tasks; move one of them"
                )


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    UserError
        The file is missing or no YAML mapping, or a key is unknown or ill-typed: the sentence names
        file and key.
    """
    return parse(read_mapping(path), Recipe, str(path))


def load_rewards(path: Path) -> RewardConfig:
    """Read reward weights: a YAML mapping of the keys of a recipe's `rewards` section, or a recipe,
    of which only that section is read. Keys left out have their defaults, as in a recipe.

    Raises
    ------
    UserError
        The file is missing or no YAML mapping, or a key is unknown or ill-typed.
    """
    content = read_mapping(
        path, "there is no such file; write the weights into it, e.g. no_gain_penalty: 0.05"
    )
    section = content.get("rewards", content)
    if not isinstance(section, dict):
        raise UserError(
            f"{path}: rewards must be a mapping of weights, e.g. {{no_gain_penalty: 0.05}}."
        )
    return parse(section, RewardConfig, str(path))


def read_mapping(
    path: Path, missing: str = "there is no such recipe; recipes/ holds some"
) -> dict[str, object]:
    """Read a YAML file that is a mapping; `missing` is what to say where there is no file.

    Raises
    ------
    UserError
        The file is missing or no YAML mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: {missing}.") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: not readable as YAML ({' '.join(str(error).split())[:160]})."
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: a recipe is a YAML mapping of sections.")
    return content


def parse(content: Mapping[str, object], model: type[M], where: str) -> M:
    """`content` as `model`.

    Raises
    ------
    UserError
        An unknown or ill-typed key; the sentence begins with `where` and names the key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error, model, content)}") from None


def _explain(error: ValidationError, model: type[BaseModel], content: object) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        siblings = _keys_at(first["loc"][:-1], model, content)
        near = difflib.get_close_matches(str(first["loc"][-1]), siblings, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(siblings)}."
        return f"unknown key '{where}'; {hint}"
    says = first["msg"].removeprefix("Value error, ")
    return f"key '{where}': {says}." if where else f"{says}."


def _keys_at(loc: tuple[Any, ...], model: Any, content: Any) -> list[str]:
    for part in loc:  # a section's field, or an entry of a mapping dict[str, Section]
        model = (
            model.model_fields[part].annotation
            if hasattr(model, "model_fields")
            else get_args(model)[1]
        )
        content = content[part]
    if issubclass(model, Algorithm):
        model = algorithm_class(content.get("algorithm", DEFAULT))
    return list(model.model_fields)


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every key written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
