"""Let a model play unseen tasks, and say how well it can: the work behind `marl-llm measure`.

In: sections of a recipe, tasks, a team (the base model, or a run's latest adapters). Out: a
`Playability`. Episodes are played as the recipe collects them, through the real server and sandbox;
what was played is kept in a directory until it is all there, so that an interrupted measurement
goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from marl_llm.core.directory import held
from marl_llm.core.roles import ROLES
from marl_llm.evaluation.playability import Playability, playability
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.rollout.plans import procedural_plans
from marl_llm.rollout.session import BASE_POLICY, RolePolicy
from marl_llm.tasks.suite import load_suite
from marl_llm.trajectories import read_rows
from marl_llm.workspace.open_run import SERVER_LOG, open_play, play, policies, settings
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import PlaySections

FIRST_SEED = 7_000_000
"""Of the procedural tasks; far from the seeds of pretraining (5,000,000) and of the recipes."""


def unseen_plans(tasks: int, first_seed: int = FIRST_SEED) -> list[PlannedEpisode]:
    """Procedural tasks that no recipe trains on, one episode each."""
    return procedural_plans(range(first_seed, first_seed + tasks))


def suite_plans(suites: Sequence[Path]) -> list[PlannedEpisode]:
    """Every CSV of some suites, one episode each."""
    files = [(suite, file) for suite in suites for file in load_suite(suite)]
    return [
        PlannedEpisode(f"{suite.name}-{Path(file.csv).stem}", file.load) for suite, file in files
    ]


def latest_team(recipe: str, run: RunDirectory) -> dict[str, RolePolicy]:
    """The adapters that a run has trained last, named after the recipe of that name."""
    return policies(recipe, run, dict.fromkeys(ROLES, run.next_iteration()))


def measure(
    sections: PlaySections,
    plans: Sequence[PlannedEpisode],
    folder: Path,
    team: dict[str, RolePolicy] | None = None,
    servers: Sequence[str] = (),
) -> Playability:
    """Play and count.

    Parameters
    ----------
    sections : PlaySections
        Say the model, the prompts, the tree of an episode and the sandbox.
    plans : sequence of PlannedEpisode
    folder : Path
        Keeps finished episodes; the same call goes on from them.
    team : dict of role to RolePolicy, optional
        Default: the base model in both roles.
    servers : sequence of str
        URLs of running vLLM servers.

    Raises
    ------
    UserError
        The model or a setting cannot be used.
    RunFailed
        The server or the sandbox failed.
    """
    roles = team or dict.fromkeys(ROLES, BASE_POLICY)
    with held(folder), open_play(sections, folder / SERVER_LOG, servers) as ready:
        play(ready, roles, folder / "episodes", list(plans), settings(sections, 0), "measure")
    return playability(read_rows(folder / "episodes"))
