"""Who plays: the scripted pair, the embedded model as it is, or the trained pair of a run or from
the Hub.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.base_model import EMBEDDED, PROJECT, local_model
from marl_llm.core.digests import file_sha256
from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import TeamName
from marl_llm.core.roles import ROLES
from marl_llm.environment.experience import NOTHING, Experience, ExperienceStore
from marl_llm.rollout.episode import Team
from marl_llm.rollout.playing import AT_ONCE, MOST_STEPS, Limits, Players
from marl_llm.rollout.policies import PolicyInfo, ScriptedPolicy
from marl_llm.rollout.session import ModelSession, RolePolicy, make_team, prompt_style
from marl_llm.storage import RunAddress
from marl_llm.workspace.open_run import SERVER_LOG, playing_session, policies
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import PlaySections
from marl_llm.workspace.shared_run import run_to_read

SCRIPTED, UNTRAINED, TRAINED = "scripted", "untrained", "trained"
NAMES = (TRAINED, UNTRAINED, SCRIPTED)
EMBEDDED_TEAM = PROJECT / "data" / "models" / "team"
"""A run directory with nothing but its recipe, the adapters that are shipped, and the experience of
their training.
"""
# As the embedded model was trained (marl_llm/tiny/corpus.py, which this module must not load).
TINY_PROMPTS = PromptConfig(
    instructions=False,
    names=False,
    memory_tokens=120,
    engineer_memory_tokens=0,
    experience_lines=3,
    max_columns=40,
)


@dataclass(frozen=True)
class TeamChoice:
    """A team by name, the recipe it plays by, and its run if it was trained."""

    name: str
    recipe: Recipe
    run: RunDirectory | None = None

    @property
    def sections(self) -> PlaySections:
        """What playing reads of the recipe."""
        return self.recipe.playing

    @property
    def experience(self) -> Experience:
        """What the team brings along of the data sets it was trained on; nothing where there is no
        store.

        Raises
        ------
        UserError
            The file is no experience store of this version.
        """
        store = self.run.experience() if self.run else None
        return ExperienceStore(store).read() if store else NOTHING

    @property
    def served(self) -> bool:
        """True if a model plays."""
        return self.name != SCRIPTED

    @property
    def depends_on(self) -> list[object]:
        """What its play depends on besides the data and the seed: the recipe, the adapters, what it
        was told of other data sets, and the base model. Plain values.
        """
        run = self.run
        adapters = [run.sha256(role, run.version(role)) for role in ROLES] if run else []
        seen = [one.model_dump(mode="json") for one in self.experience.data_sets]
        weights = _weights(Path(self.recipe.model.path)) if self.served else []
        return [self.recipe.model_dump(mode="json"), adapters, seen, weights]


def _weights(model: Path) -> list[str]:
    """Hashes of a model's files, if it lies on this machine: another model may stand under the same
    path.
    """
    return [file_sha256(path) for path in sorted(model.glob("*.safetensors"))]


def budgeted(choice: TeamChoice, limits: Limits) -> TeamChoice:
    """The team with a recipe for a play under a budget: nothing is stopped early, candidates run
    `AT_ONCE`.
    """
    recipe = choice.recipe
    screen_s = min(recipe.sandbox.wall_s, limits.budget.fold_s)
    steps = {"steps": limits.steps or MOST_STEPS, "early_stop": False, "screen_s": screen_s}
    tree = {"proposals": AT_ONCE, "implementations": 1, "advance": "merged"}
    changes = {
        "environment": recipe.environment.model_copy(update=steps),
        "rollout": recipe.rollout.model_copy(update=tree),
        "sandbox": recipe.sandbox.model_copy(update={"slots": AT_ONCE}),
    }
    return TeamChoice(choice.name, recipe.model_copy(update=changes), choice.run)


def players(choice: TeamChoice, session: ModelSession | None) -> Players:
    """The team as a play asks it; `choice` is of `budgeted`, `session` of `team_session`."""
    recipe, prompts = choice.recipe, choice.recipe.prompts
    served = choice.served
    style = (
        prompt_style(prompts, local_model(recipe.model.path)) if served else PromptStyle(prompts)
    )
    opened = functools.partial(open_team, choice, session)
    return Players(opened, style, recipe.rollout)


def best_team() -> str:
    """The team that plays where none is named: the embedded model, with its adapters where there
    are some.
    """
    return TRAINED if (EMBEDDED_TEAM / "recipe.yaml").is_file() else UNTRAINED


def choose_team(
    team: str | None, recipe: Recipe | None = None, base: Path | None = None
) -> TeamChoice:
    """Read `--team`: "trained", "untrained", "scripted", the directory of a run or its address, or
    "user/name@revision" on the Hub. The last three bring their own recipe, unless one is given.
    None is the best on this machine.

    Parameters
    ----------
    team : str, optional
    recipe : Recipe, optional
        Instead of the team's own.
    base : Path, optional
        Directory of the base model of a team from the Hub, where it is not to be downloaded.

    Raises
    ------
    UserError
        It is none of these, the run has no adapters yet, the embedded model is missing, or as
        `published_run`.
    """
    team = team or best_team()
    name = TeamName.parse(team)
    if name and not Path(team).is_dir() and (name.revision or not Path(team).parent.is_dir()):
        from marl_llm.workspace.published import (
            published_run,  # huggingface_hub: half a second that other teams do not need
        )

        return run_team(published_run(name, base, recipe), recipe)
    if base is not None:
        raise UserError(
            f"--base is the base model of a team from the Hub: team '{team}' has its own, "
            "leave it out."
        )
    if address := RunAddress.parse(team):
        return run_team(run_to_read(address), recipe, team)
    if team == SCRIPTED:
        return TeamChoice(team, recipe or Recipe.model_validate({}))
    if team == UNTRAINED:
        if not (EMBEDDED / "config.json").is_file():
            raise UserError(
                f"The embedded model is not at {EMBEDDED}: get it with the repository, or "
                "`make tiny-model`."
            )
        values = {"prompts": TINY_PROMPTS.model_dump(), "model": {"path": str(EMBEDDED)}}
        return TeamChoice(team, recipe or Recipe.model_validate(values))
    if team == TRAINED and best_team() != TRAINED:
        raise UserError(
            f"There are no trained adapters at {EMBEDDED_TEAM}: choose untrained, or a run "
            "directory."
        )
    if team != TRAINED and not Path(team).is_dir():
        near = difflib.get_close_matches(team, NAMES, n=1)
        others = "the directory of a run, or user/name@revision of a team on the Hub."
        hint = f"did you mean '{near[0]}'?" if near else f"choose {', '.join(NAMES)}, {others}"
        raise UserError(f"There is no team '{team}': {hint}")
    return run_team(RunDirectory(EMBEDDED_TEAM if team == TRAINED else Path(team)), recipe, team)


def run_team(
    run: RunDirectory, recipe: Recipe | None = None, name: str | None = None
) -> TeamChoice:
    """The team of a run, as it is now. Raises UserError if it has no adapters yet."""
    chosen = recipe or run.recipe()
    for role in ROLES:
        run.version(role)
    return TeamChoice(name or run.name, _with_found_model(chosen), run)


def _with_found_model(recipe: Recipe) -> Recipe:
    """The recipe with a model path that exists from here: relative paths also count from the
    project's directory.
    """
    here = PROJECT / recipe.model.path
    if Path(recipe.model.path).exists() or not here.exists():
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"path": str(here)})})


@contextmanager
def team_session(
    choice: TeamChoice, directory: Path, attach: Sequence[str] = ()
) -> Iterator[ModelSession | None]:
    """The team's model, ready: in this process if it is small, else in a server; None for the
    scripted team.

    Parameters
    ----------
    choice : TeamChoice
        Who plays.
    directory : Path
        Where a server that is started writes its log.
    attach : sequence of str
        URLs of running servers to use.

    Raises
    ------
    UserError
        The model's files are missing or damaged.
    ServerDied
        The server did not start.
    """
    if not choice.served:
        yield None
        return
    with playing_session(choice.sections, directory / SERVER_LOG, attach) as session:
        session.ready()
        yield session


@asynccontextmanager
async def open_team(choice: TeamChoice, session: ModelSession | None) -> AsyncIterator[Team]:
    """The pair, ready to play; its client is closed with the block."""
    if session is None:
        policy = ScriptedPolicy(may_finish=False, space="full")
        yield Team(policy, policy)
        return
    async with session.client() as client:
        yield await make_team(
            client, _role_policies(choice, client.base_name), choice.recipe.rollout
        )


def _role_policies(choice: TeamChoice, base_name: str) -> dict[str, RolePolicy]:
    if choice.run is None:
        return dict.fromkeys(ROLES, RolePolicy(None, PolicyInfo(base_name)))
    versions = {role: choice.run.version(role) for role in ROLES}
    return policies(choice.recipe.name, choice.run, versions)
