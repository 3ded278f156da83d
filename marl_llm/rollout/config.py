"""Settings of collecting; part of the recipe."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.core.section import Section


class RolloutConfig(Section):
    """The tree of an episode, and how much runs at once."""

    proposals: int = Field(
        default=4, ge=1, description="turns of the Data Scientist at each state (group size)"
    )
    implementations: int = Field(
        default=2, ge=1, description="turns of the Engineer for each distinct proposal (group size)"
    )
    advance: Literal["best", "sampled", "merged"] = Field(
        default="sampled",
        description="branch the episode goes on from: the best gain, or one drawn uniformly; "
        "merged: the best gain, what the other branches found is remembered too, and it ends where "
        "all of them finish",
    )
    looked: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the episodes that begin with the models screened, from the best of "
        "them, as those of solve do",
    )
    episodes_at_once: int = Field(default=8, ge=1, description="episodes played concurrently")
    temperature: float = Field(
        default=1.0, gt=0, description="sampling temperature; training divides logits by the same"
    )
    data_scientist_tokens: int = Field(
        default=64, ge=1, description="maximum tokens of a Data Scientist's reply"
    )
    engineer_tokens: int = Field(
        default=128, ge=1, description="maximum tokens of an Engineer's reply"
    )
    machine_lost_after_s: float = Field(
        default=60.0,
        gt=0,
        description="seconds without a sign of life after which another machine that collects into "
        "the same shared run is lost, and its episodes are played elsewhere",
    )
    executor: Literal["local", "ray"] = Field(
        default="local",
        description="where episodes and evaluations run: this machine, or a Ray cluster",
    )
    ray_address: str | None = Field(
        default=None,
        description="HOST:PORT of the cluster; auto: the one that this machine is part of; local: "
        "one of this machine alone; null: the one that RAY_ADDRESS names, else local",
    )
    ray_patience_s: float = Field(
        default=600.0, gt=0, description="how long to wait for a cluster without a core, seconds"
    )

    OPERATION: ClassVar[frozenset[str]] = frozenset(
        {
            "episodes_at_once",
            "machine_lost_after_s",
            "executor",
            "ray_address",
            "ray_patience_s",
        }
    )
    """Keys that make no difference to what is collected."""

    def most_tokens(self, role: str) -> int:
        """Most tokens of a role's reply."""
        return self.data_scientist_tokens if role == DATA_SCIENTIST else self.engineer_tokens
