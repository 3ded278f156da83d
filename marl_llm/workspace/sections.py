"""Sections of the recipe that no room below has to itself: of the base model, which both wings
share, and of the stages above; and those that playing reads, together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from marl_llm.agents.prompts import PromptConfig
from marl_llm.core.hub_names import HUB_NAME
from marl_llm.core.section import Section
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.config import RolloutConfig
from marl_llm.sandbox.config import SandboxSection
from marl_llm.serving.config import ServingSection


class ModelSection(Section):
    """The base model both roles share, and the shape of their adapters."""

    path: str = Field(
        default="data/models/tiny",
        description="directory of the base model, or its name on the Hugging Face Hub",
    )
    hub_name: str | None = Field(
        default=None,
        pattern=HUB_NAME,
        description="name of the base model on the Hugging Face Hub, user/name, where path is a "
        "directory; published adapters name it as theirs",
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


class WarmStartSection(Section):
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
        lt=1,
        description="share of the played answers that finish: an Engineer that never saw a "
        "delivery cannot write one; those beyond `finish` are not imitated by the Data Scientist",
    )
    learning_rate: float = Field(
        default=5e-4, gt=0, description="peak learning rate of AdamW, falling linearly"
    )
    warmup: float = Field(
        default=5, ge=0, description="linear warm-up: below 1 a share of all steps, else steps"
    )
    epochs: int = Field(default=1, ge=1, description="passes over the answers")
    batch_rows: int = Field(default=16, ge=1, description="answers per optimizer step")


class PromotionSection(Section):
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
        description="skill; how far below the best version's so far a mean test score may lie, if "
        "within chance",
    )


class EvaluationSection(Section):
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


@dataclass(frozen=True)
class PlaySections:
    """What playing reads of a recipe, and all that `evaluation` and `solve` know of one.

    Attributes
    ----------
    name : str
        The recipe's, part of the adapters' names.
    seed : int
        The recipe's.
    model, environment, rewards, prompts, rollout, serving, sandbox
        Sections.
    scripted_error_rate : float
        Share of wrong answers of the scripted Engineer.
    """

    name: str
    seed: int
    model: ModelSection
    environment: EnvironmentConfig
    rewards: RewardConfig
    prompts: PromptConfig
    rollout: RolloutConfig
    serving: ServingSection
    sandbox: SandboxSection
    scripted_error_rate: float
