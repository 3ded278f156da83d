"""What of a run is finished, as bundles for shared storage, read off the files of its directory.

    start                        recipe, environment, warm start, version 0 of the adapters
    iteration_0000/experience    what its episodes are told of other data sets
    iteration_0000/episodes/p20  the rows of one episode, and its summary
    iteration_0000/collected     the manifest of all rows: the iteration can be trained on
    iteration_0000/trained       credit, training, the next version of the adapters, metrics
    evaluation/experience.jsonl, evaluation/{procedural,validation}/<name>

Each bundle needs the one that it was made from, so that rows never meet other adapters than those
that sampled them. Logs, specifications, checkpoints, half-played episodes, the evaluation cache and
evaluations on a person's CSVs stay on their machine.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import asdict
from pathlib import Path

from marl_llm.environment.experience import STORE_FILE
from marl_llm.rollout.journal import UNFINISHED
from marl_llm.rollout.summary import EpisodeSummary, read_summaries
from marl_llm.storage import Draft
from marl_llm.trajectories import finished_episodes
from marl_llm.workspace.run import RunDirectory

START = "start"
_STAYS = re.compile(r"\..*|.*\.log|.*-spec\.json|.*-work|.*\.tmp|" + UNFINISHED)
"""Names of files and directories that are of use on their machine only."""


def finished(run: RunDirectory, published: Container[str]) -> Iterator[Draft]:
    """Finished bundles that are not published yet, each after those that it needs."""
    if START not in published and (start := start_draft(run)):
        yield start
    for k in _iterations(run):
        before = trained_name(k - 1) if k else START
        drafts = (_experience(run, k, before), *_episodes(run, k, before, published))
        for draft in (*drafts, _collected(run, k), trained_draft(run, k)):
            if draft and draft.name not in published:
                yield draft
    for draft in _evaluations(run):
        if draft.name not in published:
            yield draft


def order(name: str) -> tuple[int, int, str]:
    """Sorts names of bundles so that each comes after those it needs."""
    found = re.fullmatch(r"iteration_(\d+)/(\w+).*", name)
    if found is None:
        return (-1 if name == START else 1 << 30, 0, name)
    ranks = {"experience": 0, "episodes": 1, "collected": 2, "trained": 3}
    return int(found[1]), ranks.get(found[2], len(ranks)), name


def episode_name(k: int, episode: str) -> str:
    """The bundle of one episode of iteration k."""
    return f"{_name(k)}/episodes/{episode}"


def collected_name(k: int) -> str:
    """The bundle that says that iteration k is collected."""
    return f"{_name(k)}/collected"


def trained_name(k: int) -> str:
    """The bundle of what training on iteration k made."""
    return f"{_name(k)}/trained"


def iteration_of(name: str) -> int | None:
    """Iteration that a bundle is of; None of others."""
    found = re.fullmatch(r"iteration_(\d+)/.*", name)
    return int(found[1]) if found else None


def episode_of(name: str) -> tuple[int, str] | None:
    """Iteration and episode that a bundle is of; None of others."""
    found = re.fullmatch(r"iteration_(\d+)/episodes/(.*)", name)
    return (int(found[1]), found[2]) if found else None


def episode_draft(run: RunDirectory, k: int, episode: str, summary: EpisodeSummary | None) -> Draft:
    """An episode whose rows are written."""
    path = run.trajectories(k) / f"part-{episode}.parquet"
    before = trained_name(k - 1) if k else START
    about = {"summary": asdict(summary)} if summary else {}
    return Draft(episode_name(k, episode), _paths(run, path), (before,), about)


def start_draft(run: RunDirectory) -> Draft | None:
    """What a run starts from; None until version 0 of every adapter is there."""
    ready = (run.root / "recipe.yaml").is_file() and all(
        run.adapter(trainee, 0).is_dir() for trainee in run.trainees
    )
    if not ready:
        return None
    adapters = sorted(run.adapters.glob("*-v0"))
    about = (run.root / name for name in ("recipe.yaml", "environment.json", "origin.json"))
    return Draft(START, _paths(run, *about, run.warm_start, *adapters))


def trained_draft(run: RunDirectory, k: int) -> Draft | None:
    """What training on iteration k made; None until it is done."""
    if not run.metrics(k).is_file():
        return None
    folder, apart = run.iteration(k), ("trajectories", "candidates", STORE_FILE, "metrics.json")
    made = sorted(path for path in folder.iterdir() if path.name not in apart)
    adapters = sorted(run.adapters.glob(f"*-v{k + 1}"))
    files = _paths(run, *made, *adapters, run.metrics(k))  # metrics last: they say that it is done
    return Draft(trained_name(k), files, (collected_name(k),))


def _experience(run: RunDirectory, k: int, before: str) -> Draft | None:
    path = run.iteration(k) / STORE_FILE
    return Draft(f"{_name(k)}/experience", _paths(run, path), (before,)) if path.is_file() else None


def _episodes(run: RunDirectory, k: int, before: str, published: Container[str]) -> Iterator[Draft]:
    here = sorted(finished_episodes(run.trajectories(k)))
    new = [episode for episode in here if episode_name(k, episode) not in published]
    if new:
        summaries = {one.episode: one for one in read_summaries(run.trajectories(k))}
        for episode in new:
            yield episode_draft(run, k, episode, summaries.get(episode))


def _collected(run: RunDirectory, k: int) -> Draft | None:
    if not run.collected(k):
        return None
    episodes = sorted(finished_episodes(run.trajectories(k)))
    needs = tuple(episode_name(k, episode) for episode in episodes)
    return Draft(collected_name(k), _paths(run, run.trajectories(k) / "manifest.json"), needs)


def _evaluations(run: RunDirectory) -> Iterator[Draft]:
    shown = run.evaluation / STORE_FILE
    if shown.is_file():
        yield Draft(f"evaluation/{STORE_FILE}", _paths(run, shown), (START,))
    done = (path.parent for path in run.evaluation.glob("procedural/*/metrics.json"))
    tried = (path.parent for path in run.evaluation.glob("validation/*/results"))
    for folder in sorted({*done, *tried}):
        if files := _paths(run, folder):
            yield Draft(folder.relative_to(run.root).as_posix(), files, (START,))


def _iterations(run: RunDirectory) -> list[int]:
    found = (re.fullmatch(r"iteration_(\d+)", path.name) for path in run.root.glob("iteration_*"))
    return sorted(int(match[1]) for match in found if match)


def _paths(run: RunDirectory, *places: Path) -> tuple[str, ...]:
    """The files at or below these places, without those that stay, as paths in the run."""
    files: list[Path] = []
    for place in places:
        below = [place] if place.is_file() else sorted(place.rglob("*"))
        files += [path for path in below if path.is_file() and not _stays(path, run.root)]
    return tuple(path.relative_to(run.root).as_posix() for path in files)


def _stays(path: Path, root: Path) -> bool:
    return any(_STAYS.fullmatch(part) for part in path.relative_to(root).parts)


def _name(k: int) -> str:
    return f"iteration_{k:04d}"
