"""A run opened for work: its recipe, a model server that starts when first asked for, and the
sandbox.

What collecting, evaluation and solving share. It knows no trainer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.base_model import local_model
from marl_llm.core.roles import ROLES
from marl_llm.environment.experience import (
    NOTHING,
    STORE_FILE,
    Experience,
    ExperienceStore,
    snapshot,
)
from marl_llm.rollout.collect import Collector, CollectSettings, PlannedEpisode
from marl_llm.rollout.meter import Meter
from marl_llm.rollout.policies import PolicyInfo
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.session import (
    InProcessSession,
    ModelSession,
    RolePolicy,
    ServerSession,
    make_team,
    prompt_style,
)
from marl_llm.sandbox import Sandbox
from marl_llm.sandbox.config import SandboxSection
from marl_llm.serving.in_process import suits_in_process
from marl_llm.tasks.mixture import suite_files
from marl_llm.workspace.imitation import imitated_runs
from marl_llm.workspace.recipe import Recipe, load_recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import PlaySections

SERVER_LOG = "server.log"


def server_session(sections: PlaySections, log: Path, attach: str | None = None) -> ServerSession:
    """A server of the base model that writes to `log`, not started yet; or the one at the address
    `attach`.
    """
    model, serving = sections.model, sections.serving
    return ServerSession(
        local_model(model.path),
        serving.port,
        log,
        serving.server(model.rank),
        attach,
        hub_name=model.hub_name,
        request_timeout_s=serving.request_timeout_s,
    )


def playing_session(sections: PlaySections, log: Path, attach: str | None = None) -> ModelSession:
    """Who answers where nothing is trained on: the model in this process if it is small, else as
    `server_session`.

    Raises
    ------
    UserError
        The model's files are missing or damaged.
    """
    model, serving = sections.model, sections.serving
    directory = local_model(model.path)
    if attach is None and suits_in_process(directory, serving.in_process_parameters):
        return InProcessSession(directory, model.name, serving.max_model_len)
    return server_session(sections, log, attach)


@contextmanager
def open_sandbox(section: SandboxSection) -> Iterator[Sandbox]:
    """The sandbox of a run, self-tested."""
    with Sandbox(
        slots=section.slots,
        level=section.level,
        limits=section.limits,
        packages=section.packages,
    ) as sandbox:
        yield sandbox


def settings(sections: PlaySections, iteration: int) -> CollectSettings:
    """What collecting reads."""
    return CollectSettings(
        run=sections.name,
        iteration=iteration,
        seed=sections.seed,
        environment=sections.environment,
        style=prompt_style(sections.prompts, local_model(sections.model.path)),
        rollout=sections.rollout,
    )


def seen_experience(sections: PlaySections, directory: Path) -> Experience:
    """What episodes played into `directory` are told of other data sets: the store as it was when
    the first of them began, kept there in `experience.jsonl`. Nothing if the recipe shows no lines.
    """
    store = sections.environment.experience
    if store is None or not sections.prompts.experience_lines:
        return NOTHING
    return snapshot(Path(store), directory / STORE_FILE)


def policies(name: str, run: RunDirectory, versions: dict[str, int]) -> dict[str, RolePolicy]:
    """The adapters of these versions, with the names they have on the server; `name` is the
    recipe's.
    """
    named = {}
    for role, version in versions.items():
        info = PolicyInfo(
            f"{name}-{run.trainee(role)}-v{version}", version, run.sha256(role, version)
        )
        named[role] = RolePolicy(run.adapter(role, version), info)
    return named


@dataclass(frozen=True)
class OpenPlay:
    """What playing needs: sections of a recipe, a server that starts when first asked for, and the
    sandbox.
    """

    sections: PlaySections
    session: ServerSession
    sandbox: Sandbox


@contextmanager
def open_play(sections: PlaySections, log: Path, attach: str | None = None) -> Iterator[OpenPlay]:
    """Server and sandbox, which end with the block.

    Parameters
    ----------
    sections : PlaySections
    log : Path
        The server's.
    attach : str, optional
        Address of a running server.
    """
    with (
        server_session(sections, log, attach) as session,
        open_sandbox(sections.sandbox) as sandbox,
    ):
        yield OpenPlay(sections, session, sandbox)


@dataclass(frozen=True)
class OpenRun:
    """A run with what its stages need: the recipe, a server that starts when first asked for, and
    the sandbox.
    """

    recipe: Recipe
    run: RunDirectory
    session: ServerSession
    sandbox: Sandbox

    @property
    def playing(self) -> OpenPlay:
        """The same for what only plays."""
        return OpenPlay(self.recipe.playing, self.session, self.sandbox)


@contextmanager
def opened(recipe: Recipe, run: RunDirectory, *, attach: str | None = None) -> Iterator[OpenRun]:
    """A run with server and sandbox, which end with the block; nothing is written into the run but
    the server's log.

    Parameters
    ----------
    recipe : Recipe
        May differ from the run's own.
    run : RunDirectory
    attach : str, optional
        Address of a running server.
    """
    with open_play(recipe.playing, run.root / SERVER_LOG, attach) as ready:
        yield OpenRun(recipe, run, ready.session, ready.sandbox)


@contextmanager
def open_run(
    recipe_path: Path, directory: Path, attach: str | None = None, *, iterations: int | None = None
) -> Iterator[OpenRun]:
    """Make or resume a run; the server and the sandbox end with the block."""
    recipe, run = load_recipe(recipe_path), RunDirectory(directory)
    if iterations is not None:
        recipe = recipe.model_copy(update={"iterations": iterations})
    suite_files(
        recipe.tasks
    )  # a mistake in what the recipe names should not show after hours of collecting
    recipe.rewards.components()
    for role in ROLES:
        imitated_runs(recipe, role)
    if recipe.environment.experience is not None:
        ExperienceStore(Path(recipe.environment.experience))
    with run.held():
        run.prepare(recipe)
        with opened(recipe, run, attach=attach) as ready:
            if attach is not None:
                ready.session.ready()  # a wrong address shows before anything is played
            yield ready


def play(
    opened: OpenPlay,
    roles: dict[str, RolePolicy],
    directory: Path,
    plans: list[PlannedEpisode],
    chosen: CollectSettings,
    what: str,
) -> None:
    """Play planned episodes with served policies into a directory."""
    server = opened.session.server()
    meter = Meter(lambda: time.process_time() + server.cpu_seconds(), server.startup_cpu_s)

    async def run_all() -> None:
        async with opened.session.client() as client:
            team = await make_team(client, roles, chosen.rollout)
            slots = opened.sections.sandbox.slots
            progress = Progress(what, client.counters)
            await Collector(directory, team, opened.sandbox, slots, chosen, meter).collect(
                plans, progress
            )

    asyncio.run(run_all())
