"""Small runs for tests of shared storage, made without a model: files that look like those of a
run. As a program it is a machine that collects: `shared.py ROOT URL SECONDS`, seconds an episode.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from marl_llm.core.roles import ROLES
from marl_llm.rollout.sharing import Sharing
from marl_llm.rollout.summary import EpisodeSummary, append_summary
from marl_llm.storage import Objects, RunAddress
from marl_llm.trajectories import TrajectoryWriter, finished_episodes, write_manifest
from marl_llm.workspace.recipe import Recipe, dump_recipe
from marl_llm.workspace.shared_run import SharedRun
from tests.trajectories.rows import make_row

EPISODES = ["p0", "p1", "p2", "p3"]


def machine(root: Path, address: RunAddress) -> SharedRun:
    """A machine whose working copy is `root`."""
    root.mkdir(parents=True, exist_ok=True)
    return SharedRun(root, address, Objects(address))


def begin(run: SharedRun, seed: int = 0) -> None:
    """Recipe and version 0 of the adapters, as `prepare` leaves them."""
    recipe = Recipe.model_validate({"name": "shared", "seed": seed})
    (run.root / "recipe.yaml").write_text(dump_recipe(recipe))
    (run.root / "environment.json").write_text("{}")
    adapters(run, 0, "untrained")


def adapters(run: SharedRun, version: int, weights: str) -> None:
    """A version of both adapters."""
    for role in ROLES:
        folder = run.adapters / f"{role}-v{version}"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_text(f"{weights} {role}")


def play(
    run: SharedRun, k: int, seconds: float = 0.0, episodes: list[str] = EPISODES
) -> Callable[[Sharing | None], None]:
    """Plays what is missing and its own, as `Collector` does."""

    def all_of_mine(sharing: Sharing | None) -> None:
        directory = run.trajectories(k)
        writer = TrajectoryWriter(directory)
        for episode in episodes:
            done = episode in finished_episodes(directory)
            if done or (sharing and not sharing.take(episode)):
                continue
            time.sleep(seconds)
            summary = EpisodeSummary(episode, run.root.name, 0.5, 0.6, 1, 1, False, 9, 1, 1)
            append_summary(directory, summary)
            writer.append([make_row(iteration=k, episode=episode, task=run.root.name)])
            if sharing:
                sharing.finished(summary)

    return all_of_mine


def collect(run: SharedRun, k: int, seconds: float = 0.0, lost_after_s: float = 60.0) -> None:
    """As the stage does."""
    run.collect(k, EPISODES, play(run, k, seconds), lost_after_s)
    write_manifest(run.trajectories(k))
    run.sync()


def train(run: SharedRun, k: int, weights: str, more: str = "") -> None:
    """What training leaves; `more` is a file that not every machine makes."""
    folder = run.iteration(k)
    for name in ("credit", "training", "training/ml_engineer-work", "candidates"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "credit/statistics.json").write_text("{}")
    (folder / "training/ml_engineer.json").write_text(f'"{weights}"')
    for stays in ("training/ml_engineer.log", "training/ml_engineer-work/state", "candidates/x"):
        (folder / stays).write_text("of this machine")
    if more:
        (folder / more).write_text("more")
    adapters(run, k + 1, weights)
    run.metrics(k).write_text(f'"{weights}"')


if __name__ == "__main__":
    address = RunAddress.parse(sys.argv[2])
    assert address is not None
    here = machine(Path(sys.argv[1]), address)
    with here.held():
        if not (here.root / "recipe.yaml").is_file():
            begin(here)
            here.sync()
        collect(here, 0, float(sys.argv[3]), lost_after_s=0.5)
