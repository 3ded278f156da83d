"""What a published team says of itself (team.json): its files by checksum, its base model, where
both roles are.

Each role has a repository of its own, as PEFT and vLLM load adapters. The Data Scientist's is the
team's entry: it holds the manifest, which pins the commit of the Engineer's, so that one commit
names the pair. Plain data; no network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import HUB_NAME
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.training.adapters import CONFIG_FILE, WEIGHTS_FILE

TEAM_FILE, RECIPE_FILE, EXPERIENCE_FILE = "team.json", "recipe.yaml", "experience.jsonl"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Literal[
    "adapter_config.json", "adapter_model.safetensors", "recipe.yaml", "experience.jsonl"
]


def repo_of(prefix: str, role: str) -> str:
    """Repository of a role's adapter: "user/name-data-scientist"."""
    return f"{prefix}-{role.replace('_', '-')}"


def base_repo_of(prefix: str) -> str:
    """Repository of the embedded base model, published along with a team that plays on it."""
    return f"{prefix}-base"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RoleManifest(_Strict):
    """One role's adapter."""

    version: int = Field(ge=0, description="version in the run it comes from")
    sha256: dict[FileName, Sha256] = Field(description="the files that are read, and their SHA-256")

    @model_validator(mode="after")
    def _has_an_adapter(self) -> Self:
        if not {CONFIG_FILE, WEIGHTS_FILE} <= set(self.sha256):
            raise ValueError(f"it names no {CONFIG_FILE} or no {WEIGHTS_FILE}")
        return self


class TeamManifest(_Strict):
    """`team.json`."""

    format: Literal[1] = 1
    base_model: str = Field(pattern=HUB_NAME, description="name of the base model on the Hub")
    base_sha256: Sha256 | None = Field(
        default=None, description="fingerprint of its weights, where it was at hand"
    )
    shared: bool = Field(default=False, description="whether both roles play with the same adapter")
    engineer_commit: str = Field(
        pattern=r"^[0-9a-f]{40}$", description="commit of the ML Engineer's repository"
    )
    data_scientist: RoleManifest
    ml_engineer: RoleManifest

    @model_validator(mode="after")
    def _has_a_recipe(self) -> Self:
        if RECIPE_FILE not in self.data_scientist.sha256:
            raise ValueError(f"it names no {RECIPE_FILE}")
        if (
            self.shared
            and self.data_scientist.sha256[WEIGHTS_FILE] != self.ml_engineer.sha256[WEIGHTS_FILE]
        ):
            raise ValueError("its two adapters differ, and it says that they are one")
        return self

    @property
    def roles(self) -> dict[str, RoleManifest]:
        """The adapters by role."""
        return {DATA_SCIENTIST: self.data_scientist, ML_ENGINEER: self.ml_engineer}

    def commit_of(self, role: str, own: str) -> str:
        """Commit of a role's repository; `own` is that of the repository in which this manifest
        lies.
        """
        return own if role == DATA_SCIENTIST else self.engineer_commit


def read_manifest(path: Path, where: str) -> TeamManifest:
    """Read a downloaded `team.json`; `where` is its repository.

    Raises
    ------
    UserError
        It is none, or of a later version.
    """
    try:
        return TeamManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{where}: its {TEAM_FILE} is not one that this version of marl_llm reads ({at}: "
            f"{first['msg']}); publish the team again, or update marl_llm."
        ) from None
