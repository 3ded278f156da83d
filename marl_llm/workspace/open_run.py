"""A run opened for work: its recipe, a model server that starts when first asked for, and machines
with sandboxes.

What collecting, evaluation and solving share. It knows no trainer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from marl_llm.core.base_model import local_model
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.environment.experience import (
    NOTHING,
    STORE_FILE,
    Experience,
    ExperienceStore,
    snapshot,
)
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors.machines import Machines, open_machines
from marl_llm.rollout.meter import Meter
from marl_llm.rollout.planned import CollectSettings, PlannedEpisode
from marl_llm.rollout.policies import PolicyInfo
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.session import (
    InProcessSession,
    ModelSession,
    RolePolicy,
    ServedTeam,
    ServerSession,
    make_team,
    prompt_style,
)
from marl_llm.rollout.sharing import Sharing
from marl_llm.sandbox import Sandbox, SandboxPool
from marl_llm.sandbox.config import SandboxSection
from marl_llm.serving.in_process import suits_in_process
from marl_llm.storage import RunAddress
from marl_llm.tasks.mixture import check_suite
from marl_llm.workspace.imitation import imitated_runs
from marl_llm.workspace.recipe import Recipe, load_recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import PlaySections
from marl_llm.workspace.shared_run import run_at

SERVER_LOG = "server.log"


def server_session(sections: PlaySections, log: Path, attach: Sequence[str] = ()) -> ServerSession:
    """A server of the base model that writes to `log`, not started yet; or those at the addresses
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


def playing_session(sections: PlaySections, log: Path, attach: Sequence[str] = ()) -> ModelSession:
    """Who answers where nothing is trained on: the model in this process if it is small, else as
    `server_session`.

    Raises
    ------
    UserError
        The model's files are missing or damaged.
    """
    model, serving = sections.model, sections.serving
    directory = local_model(model.path)
    if not attach and suits_in_process(directory, serving.in_process_parameters):
        return InProcessSession(directory, model.name, serving.max_model_len)
    return server_session(sections, log, attach)


@contextmanager
def open_sandbox(section: SandboxSection) -> Iterator[Sandbox]:
    """The sandbox of a run, self-tested."""
    with Sandbox(slots=section.slots, level=section.level, limits=section.limits) as sandbox:
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

    A name carries the fingerprint of the weights: a server that has served an earlier run of the
    same directory knows other weights under another name, and is not asked for them.
    """
    named = {}
    for role, version in versions.items():
        fingerprint = run.sha256(role, version)
        served = f"{name}-{run.trainee(role)}-v{version}-{fingerprint[:8]}"
        info = PolicyInfo(served, version, fingerprint)
        named[role] = RolePolicy(run.adapter(role, version), info)
    return named


@dataclass(frozen=True)
class OpenPlay:
    """What playing needs: sections of a recipe, a server that starts when first asked for, and
    machines with sandboxes.
    """

    sections: PlaySections
    session: ServerSession
    machines: Machines

    @property
    def sandbox(self) -> SandboxPool:
        """Where code is evaluated."""
        return self.machines.sandbox


@contextmanager
def open_play(sections: PlaySections, log: Path, attach: Sequence[str] = ()) -> Iterator[OpenPlay]:
    """Server and sandbox, which end with the block.

    Parameters
    ----------
    sections : PlaySections
    log : Path
        The server's.
    attach : sequence of str
        Addresses of running servers.
    """
    with (
        server_session(sections, log, attach) as session,
        open_machines(sections.rollout, sections.sandbox) as machines,
    ):
        yield OpenPlay(sections, session, machines)


@dataclass(frozen=True)
class OpenRun:
    """A run with what its stages need: the recipe, a server that starts when first asked for, and
    machines with sandboxes.
    """

    recipe: Recipe
    run: RunDirectory
    session: ServerSession
    machines: Machines

    @property
    def playing(self) -> OpenPlay:
        """The same for what only plays."""
        return OpenPlay(self.recipe.playing, self.session, self.machines)


@contextmanager
def opened(recipe: Recipe, run: RunDirectory, *, attach: Sequence[str] = ()) -> Iterator[OpenRun]:
    """A run with server and sandbox, which end with the block; nothing is written into the run but
    the server's log.

    Parameters
    ----------
    recipe : Recipe
        May differ from the run's own.
    run : RunDirectory
    attach : sequence of str
        Addresses of running servers.
    """
    with open_play(recipe.playing, run.root / SERVER_LOG, attach) as ready:
        yield OpenRun(recipe, run, ready.session, ready.machines)


@contextmanager
def open_run(
    recipe_path: Path,
    place: Path | RunAddress,
    attach: Sequence[str] = (),
    *,
    iterations: int | None = None,
    ray_address: str | None = None,
) -> Iterator[OpenRun]:
    """Make or resume a run in a directory or at an address; the server and the sandboxes end with
    the block. `ray_address` has it played on that cluster, whatever the recipe says.
    """
    recipe, run = load_recipe(recipe_path), run_at(place)
    if iterations is not None:
        recipe = recipe.model_copy(update={"iterations": iterations})
    if ray_address is not None:
        there = {"executor": "ray", "ray_address": ray_address}
        recipe = recipe.model_copy(update={"rollout": recipe.rollout.model_copy(update=there)})
    # A mistake in what the recipe names should not show after hours of collecting.
    check_suite(recipe.tasks, _to_collect(recipe, run), recipe.seed)
    recipe.rewards.components()
    for role in ROLES:
        imitated_runs(recipe, role)
    if recipe.environment.experience is not None:
        ExperienceStore(Path(recipe.environment.experience))
    with run.held():
        run.prepare(recipe)
        run.sync()
        with opened(recipe, run, attach=attach) as ready:
            if attach:
                ready.session.ready()  # a wrong address shows before anything is played
            yield ready


def _to_collect(recipe: Recipe, run: RunDirectory) -> range:
    """Episodes of the iterations that are still to be collected, the next one at least."""
    begin = run.next_iteration()
    if run.collected(begin):
        begin += 1
    count = recipe.tasks.per_iteration
    return range(begin * count, max(begin + 1, recipe.iterations) * count)


def play(
    opened: OpenPlay,
    roles: dict[str, RolePolicy],
    directory: Path,
    plans: list[PlannedEpisode],
    chosen: CollectSettings,
    what: str,
    sharing: Sharing | None = None,
) -> None:
    """Play planned episodes with served policies into a directory; `sharing` as of `Collector`.

    Raises
    ------
    UserError
        A model server that was started here is out of reach for other machines that play.
    """
    servers, machines = opened.session.servers(), opened.machines
    if servers[0].owned and len(machines.addresses) > 1:
        raise UserError(
            f"The Ray cluster has {len(machines.addresses)} machines, and the model server that "
            "this command starts answers on this one only: start vLLM on addresses they all reach, "
            "and name each with --server."
        )
    meter = Meter(lambda: time.process_time() + servers[0].cpu_seconds(), servers[0].startup_cpu_s)
    served = ServedTeam(
        tuple(server.url for server in servers),
        opened.sections.serving.max_num_seqs,
        opened.session.request_timeout_s,
        opened.session.vocabulary,
        {role: policy.resolved() for role, policy in roles.items()},
        chosen.rollout,
    )

    async def run_all() -> None:
        async with opened.session.client() as client:

            @asynccontextmanager
            async def here() -> AsyncIterator[Team]:
                yield await make_team(client, roles, chosen.rollout)

            opens = served.opened if machines.addresses else here
            async with machines.executor(opens, meter) as executor:
                progress = Progress(what, client.counters)
                await Collector(directory, executor, chosen, sharing).collect(plans, progress)

    asyncio.run(run_all())


def play_scripted(
    machines: Machines,
    team: Team,
    directory: Path,
    plans: list[PlannedEpisode],
    chosen: CollectSettings,
    what: str,
) -> None:
    """Play planned episodes with a pair that needs no model server."""

    async def run_all() -> None:
        async with machines.executor(partial(nullcontext, team)) as executor:
            await Collector(directory, executor, chosen).collect(plans, Progress(what))

    asyncio.run(run_all())
