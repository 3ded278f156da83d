"""The one configuration object: a YAML file, strict, composed of sections.

An unknown key is an error that names the key and its nearest neighbour. The recipe stands above the
rooms whose sections it holds: a room below reads its own section. Those of stages, and of what is
opened for a run, are declared here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from marl_llm.agents.prompts import PromptConfig
from marl_llm.algorithms.base import Algorithm
from marl_llm.algorithms.registry import DEFAULT, AnyAlgorithm, algorithm_class, default_algorithm
from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import HUB_NAME
from marl_llm.core.roles import ML_ENGINEER, ROLES
from marl_llm.credit import CreditConfig
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.config import RolloutConfig
from marl_llm.serving.config import Dtype, check_extra_args
from marl_llm.tasks.mixture import TaskSection
from marl_llm.workspace.schedule import Schedule

M = TypeVar("M", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(_Section):
    """The base model both roles share, and the shape of their adapters."""

    path: str = Field(
        default="data/models/tiny",
        description="directory of the base model, or its name on the Hugging Face Hub",
    )
    hub_name: str | None = Field(
        default=None,
        pattern=HUB_NAME,
        description="name of the base model on the Hugging Face Hub, user/name, where path is a "
        "directory; published "
        "adapters name it as theirs",
    )
    rank: int = Field(default=16, ge=1, description="LoRA rank of both adapters")
    alpha: int = Field(
        default=32, gt=0, description="LoRA scale: the update is alpha / rank times B A"
    )
    adapters: Literal["per_role", "shared"] = Field(
        default="per_role",
        description="an adapter for each role, or one that both share and whose rows are of both",
    )

    @property
    def name(self) -> str:
        """What others call the base model: its name on the Hub where it is known, else its path."""
        return self.hub_name or self.path


class ServingSection(_Section):
    """The vLLM server, and which models need none to play."""

    OPERATION: ClassVar = frozenset(
        (
            "port",
            "max_num_seqs",
            "threads",
            "kv_cache_gib",
            "gpu_memory_utilization",
            "start_timeout_s",
            "request_timeout_s",
            "while_training",
        )
    )
    """Keys that say how the server is run and not what it computes."""

    port: int = Field(
        default=0, ge=0, le=65535, description="TCP port on 127.0.0.1; 0 takes a free one"
    )
    max_model_len: int = Field(
        default=1024, ge=64, description="context: prompt and completion together, tokens"
    )
    max_num_seqs: int = Field(
        default=32,
        ge=1,
        description="sequences decoded at once, and so requests sent at once, also to --server URL",
    )
    dtype: Dtype = Field(
        default="auto",
        description="of the server's weights and arithmetic; auto: bfloat16 on a GPU, and for a "
        "model "
        "stored in it on "
        "a CPU that is clearly faster in it; else float32",
    )
    threads: int = Field(
        default=1,
        ge=1,
        description="OpenMP threads of each server on a CPU; more pay only on cores that are idle",
    )
    kv_cache_gib: int = Field(default=1, ge=1, description="memory of the KV cache on a CPU, GiB")
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="share of the GPU's memory for the server"
    )
    start_timeout_s: float = Field(
        default=300, gt=0, description="longest wait for the server to answer, seconds"
    )
    request_timeout_s: float = Field(
        default=300,
        gt=0,
        description="least patience, seconds, with a server that is up but samples nothing; a "
        "slow one "
        "is waited for",
    )
    extra_args: tuple[str, ...] = Field(
        default=(),
        description="further arguments of vLLM's command line, options and values as separate "
        "items",
    )
    in_process_parameters: int = Field(
        default=20_000_000,
        ge=0,
        description="largest model, parameters, that `solve` plays in its own process; larger "
        "ones, and "
        "0: a server",
    )
    while_training: bool = Field(
        default=True,
        description="keep the server up while adapters are trained (false frees the GPU)",
    )

    @field_validator("extra_args")
    @classmethod
    def _no_option_of_ours(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        check_extra_args(args)
        return args


class SandboxSection(_Section):
    """Where candidates run."""

    level: str = Field(
        default="bubblewrap",
        description="isolation: bubblewrap, or landlock where namespaces are forbidden",
    )
    slots: int = Field(default=2, ge=1, description="candidates run at once, one core each")
    wall_s: float = Field(
        default=20, gt=0, description="longest fit and prediction of one fold, seconds"
    )
    memory_gib: float = Field(default=2, gt=0, description="memory of one candidate, GiB")


class WarmStartSection(_Section):
    """What both adapters learn before iteration 0: the form of an answer, from the scripted pair
    (SFT). Everything else about this training is as in `training`.
    """

    episodes: int = Field(
        default=0, ge=0, description="scripted episodes that are imitated; 0: no warm start"
    )
    first_seed: int = Field(
        default=3_000_000, ge=0, description="seed of the first of their procedural tasks"
    )
    proposals: int = Field(
        default=8, ge=1, description="answers of the Data Scientist shown for each state"
    )
    space: Literal["core", "full"] = Field(
        default="full",
        description="what the scripted Data Scientist draws from: the usual, or all that can be "
        "proposed",
    )
    finish: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="largest share of the imitated answers of the Data Scientist that finish",
    )
    deliveries: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="share of the played answers that finish: an Engineer that never saw a "
        "delivery "
        "cannot write one; "
        "those beyond `finish` are not imitated by the Data Scientist",
    )
    learning_rate: float = Field(
        default=5e-4, gt=0, description="peak learning rate of AdamW, falling linearly"
    )
    warmup: float = Field(
        default=5, ge=0, description="linear warm-up: below 1 a share of all steps, else steps"
    )
    epochs: int = Field(default=1, ge=1, description="passes over the answers")
    batch_rows: int = Field(default=16, ge=1, description="answers per optimizer step")


class TrainingSection(_Section):
    """One algorithm per role, who trains when, and whether both train at once."""

    schedule: Schedule = Field(
        default="both",
        description="who trains: both roles in every iteration; alternate, the Data Scientist "
        "first; or "
        "data_scientist_first, alone against a frozen Engineer and then alternating",
    )
    alone: int = Field(
        default=2, ge=1, description="data_scientist_first: iterations before the Engineer's turn"
    )
    at_once: int = Field(
        default=1,
        ge=1,
        le=2,
        description="roles trained at the same time: 2 on a CPU, 1 on one GPU",
    )
    data_scientist: AnyAlgorithm = Field(
        default_factory=default_algorithm, description="the Data Scientist's algorithm and its keys"
    )
    ml_engineer: AnyAlgorithm = Field(
        default_factory=default_algorithm, description="the ML Engineer's algorithm and its keys"
    )

    def of(self, role: str) -> Algorithm:
        """A role's algorithm; of an adapter that both share, either's."""
        return self.ml_engineer if role == ML_ENGINEER else self.data_scientist


class PromotionSection(_Section):
    """When a trained adapter takes the place of its predecessor."""

    tasks: int = Field(
        default=0,
        ge=0,
        description="validation tasks that decide (procedural); 0: every trained adapter is "
        "promoted",
    )
    first_seed: int = Field(
        default=800_000, ge=0, description="seed of the first of them; far from all others"
    )
    slack: float = Field(
        default=0.03,
        ge=0,
        description="skill; how far below the best version's so far a mean test score may lie, "
        "if within "
        "chance",
    )


class EvaluationSection(_Section):
    """Comparison of teams on tasks never trained on."""

    tasks: int = Field(default=16, ge=2, description="unseen procedural tasks")
    first_seed: int = Field(
        default=900_000, ge=0, description="seed of the first of them; far from the training seeds"
    )
    every: int = Field(
        default=0,
        ge=0,
        description="evaluate after every so many iterations; 0: only first and last",
    )
    scripted_error_rate: float = Field(
        default=0.0, ge=0, le=1, description="share of wrong answers of the scripted Engineer"
    )


class Recipe(_Section):
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
                "training.ml_engineer must "
                "be the same"
            )
        for role in ROLES:
            wanted, sampled = training.of(role).sampling_temperature, self.rollout.temperature
            if wanted not in (None, sampled):
                raise ValueError(
                    f"training.{role}.temperature ({wanted:g}) must be rollout.temperature "
                    f"({sampled:g}), "
                    "at which its rows are sampled; set both"
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
                    f"{other} ({taken.start} to {taken.stop - 1}) and {name} ({part.start} "
                    f"to {part.stop - 1}) share "
                    "tasks; move one of them"
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
    if not path.exists():
        raise UserError(
            f"{path}: there is no such file; write the weights into it, e.g. no_gain_penalty: 0.05."
        )
    content = read_mapping(path)
    section = content.get("rewards", content)
    if not isinstance(section, dict):
        raise UserError(
            f"{path}: rewards must be a mapping of weights, e.g. {{no_gain_penalty: 0.05}}."
        )
    return parse(section, RewardConfig, str(path))


def read_mapping(path: Path) -> dict[str, object]:
    """Read a YAML file that is a mapping.

    Raises
    ------
    UserError
        The file is missing or no YAML mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such recipe; recipes/ holds some.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
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
