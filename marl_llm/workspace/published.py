"""A team from the Hub as a run directory that one can only read: what `solve` and `evaluate` need
of a run, no more.

In: a name and, where it is not to be downloaded, the base model's directory. Out: a `PublishedRun`
whose recipe plays as the run's own did, on the base model it was trained on; files and isolation on
this machine are not the recipe's to name.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.base_model import EMBEDDED, local_model, weights_sha256
from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import TeamName
from marl_llm.core.roles import DATA_SCIENTIST, TEAM
from marl_llm.hub import FetchedTeam, fetch_team
from marl_llm.hub.manifest import RECIPE_FILE
from marl_llm.sandbox.config import SandboxSection
from marl_llm.workspace.recipe import Recipe, parse, read_mapping
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import ModelSection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedRun(RunDirectory):
    """The run that a team on the Hub comes from, as far as it was published. `root` is in the Hub's
    cache.

    Attributes
    ----------
    team : FetchedTeam
    base : Path
        Directory of the base model.
    """

    team: FetchedTeam
    base: Path

    @property
    def name(self) -> str:
        """ "user/name@commit"."""
        return self.team.name

    def trainee(self, role: str) -> str:
        """Whose adapter a role plays with."""
        return TEAM if self.team.manifest.shared else role

    def adapter(self, role: str, version: int) -> Path:
        """Directory of the adapter that a role plays with; of another version than the published
        one, none.
        """
        if version != self.version(role):
            return super().adapter(role, version)
        return self.team.directories[DATA_SCIENTIST if self.team.manifest.shared else role]

    def version(self, role: str) -> int:
        """Version of a role's adapter in the run it comes from."""
        return self.team.manifest.roles[role].version

    def recipe(self) -> Recipe:
        """The run's recipe, with the base model as it lies here.

        Caches and stores are none of it, the sandbox is as strict as by default, no algorithm or
        reward of the publisher's own is imported, and vLLM is started without arguments of the
        publisher's: whoever publishes a team must not choose files or code of this machine, or how
        the code of the team is locked in. The name tells its adapters apart from those of other
        teams on one server.
        """
        path = self.root / RECIPE_FILE
        recipe = parse(_without_own_algorithms(read_mapping(path)), Recipe, str(path))
        model = {"path": str(self.base), "hub_name": self.team.manifest.base_model}
        commit = self.name.rpartition("@")[2]
        changes = {
            "name": f"{recipe.name}-{commit[:8]}",
            "model": recipe.model.model_copy(update=model),
            "environment": recipe.environment.model_copy(
                update={"cache": None, "experience": None}
            ),
            "tasks": recipe.tasks.model_copy(update={"suite": None}),
            "rewards": recipe.rewards.model_copy(update={"extra": {}}),
            "serving": recipe.serving.model_copy(update={"extra_args": ()}),
            "sandbox": recipe.sandbox.model_copy(update={"level": SandboxSection().level}),
        }
        return recipe.model_copy(update=changes)


def _without_own_algorithms(content: dict[str, object]) -> dict[str, object]:
    """The recipe with a plain algorithm in place of one that would have to be imported: to play,
    how a team learned makes no difference.
    """
    training = content.get("training")
    if not isinstance(training, dict):
        return content
    ours = {
        key: {"algorithm": "sft"} if _is_own(section) else section
        for key, section in training.items()
    }
    return content | {"training": ours}


def _is_own(section: object) -> bool:
    return isinstance(section, dict) and ":" in str(section.get("algorithm", ""))


def published_run(
    name: TeamName, base: Path | None = None, recipe: Recipe | None = None
) -> PublishedRun:
    """Get a team from the Hub, or from its cache.

    Parameters
    ----------
    name : TeamName
    base : Path, optional
        Directory of the team's base model; otherwise the recipe's, the embedded model if it is
        that, or a download by its name.
    recipe : Recipe, optional
        One to play by instead of the team's own: its base model must be the same.

    Raises
    ------
    UserError
        The team cannot be had or is not what was published (`fetch_team`), or the base model is
        missing or another one.
    """
    team = fetch_team(name)
    logger.info("%s is %s", name.prefix, team.name)
    if recipe is not None:
        _require_named(team, recipe.model)
        base = base or (Path(recipe.model.path) if Path(recipe.model.path).is_dir() else None)
    return PublishedRun(team.directories[DATA_SCIENTIST], team, _base(team, base))


def _require_named(team: FetchedTeam, model: ModelSection) -> None:
    """Raise UserError if a recipe's base model goes by another name than the team's, or by none
    that can be checked.
    """
    known = model.hub_name or (None if Path(model.path).is_dir() else model.path)
    if known not in (None, team.manifest.base_model) or not (known or team.manifest.base_sha256):
        raise UserError(
            f"{team.name} was trained on {team.manifest.base_model}, the recipe's base model is "
            f"{model.name}: play it by its own recipe, or set model.hub_name if that is what lies "
            "in model.path."
        )


def _base(team: FetchedTeam, named: Path | None) -> Path:
    """Directory of the base model that the team was trained on."""
    wanted = team.manifest.base_sha256
    if (
        named is None
        and wanted
        and (EMBEDDED / "config.json").is_file()
        and weights_sha256(EMBEDDED) == wanted
    ):
        return EMBEDDED
    try:
        base = local_model(str(named) if named else team.manifest.base_model)
    except UserError as error:
        raise UserError(
            f"The base model of {team.name}: {error} Name a directory that holds it with --base."
        ) from None
    if wanted and weights_sha256(base) != wanted:
        raise UserError(
            f"{base} is not the base model of {team.name}: that is {team.manifest.base_model}, "
            f"with weights of fingerprint {wanted[:12]}, and this has others; name a directory "
            "that holds it with --base."
        )
    return base
