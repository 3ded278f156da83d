"""A run opened for work: its recipe, a model server that starts when first asked for, and the
sandbox.

What collecting, evaluation and solving share. It knows no trainer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

from marl_llm.core.base_model import local_model
from marl_llm.core.roles import ROLES
from marl_llm.environment import EnvironmentConfig
from marl_llm.environment.experience import (
    NOTHING,
    STORE_FILE,
    Experience,
    ExperienceStore,
    snapshot,
)
from marl_llm.rollout.collect import Collector, CollectSettings, PlannedEpisode
from marl_llm.rollout.config import RolloutConfig
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
from marl_llm.sandbox import Limits, Sandbox
from marl_llm.serving import ServerConfig
from marl_llm.serving.in_process import suits_in_process
from marl_llm.tasks.mixture import suite_files
from marl_llm.workspace.imitation import imitated_runs
from marl_llm.workspace.recipe import Recipe, load_recipe
from marl_llm.workspace.run import RunDirectory

SERVER_LOG = "server.log"


def server_session(recipe: Recipe, log: Path, attach: str | None = None) -> ServerSession:
    """A server of the recipe's model that writes to `log`, not started yet; or the one at the
    address `attach`.
    """
    section = recipe.serving
    config = ServerConfig(
        max_model_len=section.max_model_len,
        max_num_seqs=section.max_num_seqs,
        max_lora_rank=recipe.model.rank,
        dtype=section.dtype,
        threads=section.threads,
        kv_cache_gib=section.kv_cache_gib,
        gpu_memory_utilization=section.gpu_memory_utilization,
        start_timeout_s=section.start_timeout_s,
        extra_args=section.extra_args,
    )
    return ServerSession(
        local_model(recipe.model.path),
        section.port,
        log,
        config,
        attach,
        hub_name=recipe.model.hub_name,
        request_timeout_s=section.request_timeout_s,
    )


def playing_session(recipe: Recipe, log: Path, attach: str | None = None) -> ModelSession:
    """Who answers where nothing is trained on: the model in this process if it is small, else as
    `server_session`.

    Raises
    ------
    UserError
        The model's files are missing or damaged.
    """
    directory, section = local_model(recipe.model.path), recipe.serving
    if attach is None and suits_in_process(directory, section.in_process_parameters):
        return InProcessSession(directory, recipe.model.name, section.max_model_len)
    return server_session(recipe, log, attach)


@contextmanager
def open_sandbox(recipe: Recipe) -> Iterator[Sandbox]:
    """The sandbox of a run, self-tested."""
    section = recipe.sandbox
    limits = Limits(
        wall_s=section.wall_s,
        cpu_s=int(section.wall_s),
        memory_bytes=int(section.memory_gib * 2**30),
    )
    with Sandbox(slots=section.slots, level=section.level, limits=limits) as sandbox:
        yield sandbox


class Changes(TypedDict, total=False):
    """What may differ from the recipe where episodes are collected; see `CollectSettings`."""

    seed: int
    environment: EnvironmentConfig
    rollout: RolloutConfig
    seen: Experience
    remember: Path | None


def settings(recipe: Recipe, iteration: int, **changes: Unpack[Changes]) -> CollectSettings:
    """The sections of the recipe that collecting reads."""
    own = CollectSettings(
        run=recipe.name,
        iteration=iteration,
        seed=recipe.seed,
        environment=recipe.environment,
        style=prompt_style(recipe.prompts, local_model(recipe.model.path)),
        rollout=recipe.rollout,
    )
    return replace(own, **changes)


def seen_experience(recipe: Recipe, directory: Path) -> Experience:
    """What episodes played into `directory` are told of other data sets: the store as it was when
    the first of them began, kept there in `experience.jsonl`. Nothing if the recipe shows no lines.
    """
    store = recipe.environment.experience
    if store is None or not recipe.prompts.experience_lines:
        return NOTHING
    return snapshot(Path(store), directory / STORE_FILE)


def policies(recipe: Recipe, run: RunDirectory, versions: dict[str, int]) -> dict[str, RolePolicy]:
    """The adapters of these versions, with the names they have on the server."""
    named = {}
    for role, version in versions.items():
        info = PolicyInfo(
            f"{recipe.name}-{run.trainee(role)}-v{version}", version, run.sha256(role, version)
        )
        named[role] = RolePolicy(run.adapter(role, version), info)
    return named


@dataclass(frozen=True)
class OpenRun:
    """A run with what its stages need: the recipe, a server that starts when first asked for, and
    the sandbox.
    """

    recipe: Recipe
    run: RunDirectory
    session: ServerSession
    sandbox: Sandbox


@contextmanager
def opened(
    recipe: Recipe, run: RunDirectory, *, attach: str | None = None, log: Path | None = None
) -> Iterator[OpenRun]:
    """A run with server and sandbox, which end with the block; nothing is written into the run but
    the server's log.

    Parameters
    ----------
    recipe : Recipe
        May differ from the run's own.
    run : RunDirectory
    attach : str, optional
        Address of a running server.
    log : Path, optional
        The server's log, where it does not belong in the run (one that is only read).
    """
    with (
        server_session(recipe, log or run.root / SERVER_LOG, attach) as session,
        open_sandbox(recipe) as sandbox,
    ):
        yield OpenRun(recipe, run, session, sandbox)


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
            yield ready


def play(
    opened: OpenRun,
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
            slots = opened.recipe.sandbox.slots
            progress = Progress(what, client.counters)
            await Collector(directory, team, opened.sandbox, slots, chosen, meter).collect(
                plans, progress
            )

    asyncio.run(run_all())
