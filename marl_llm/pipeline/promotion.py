"""Promotion: a trained adapter takes the place of its predecessor only if the team does not play
worse with it, by more than a slack or beyond chance.

In: the candidates of an iteration, and what the recipe says of validation tasks. Each team plays
the same procedural tasks with the same seeds, one plain episode each, so that scores are paired;
they are skills on the test part, which no episode reads. A team is held against the best version so
far, or small losses, each within the slack, would add up over the iterations. Out: version k + 1 of
every adapter, a candidate or an unchanged copy of version k; `promotion.json`; refused candidates
under `refused/`.

The slack must be larger than what chance does to a mean of so few episodes, and smaller than a
collapse. Measured with ten tasks and the embedded model: a slack of 0.01 refused 10 of 16 updates
of the Data Scientist, most of them useful; asking for nothing but a significant loss let one
through that lost 0.07 by stopping at once. So both refuse.

All candidates are tried together first, since that is how they would play. If the team is worse
with them, each is tried alone beside the other role's present adapter, and the best that is not
worse is promoted.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from marl_llm.core.atomic import write_json
from marl_llm.core.roles import ROLES
from marl_llm.evaluation.arms import team_arm
from marl_llm.evaluation.play import Comparison, play_arm
from marl_llm.evaluation.statistics import paired_difference
from marl_llm.evaluation.trials import Trial
from marl_llm.pipeline.stages import finish_iteration, trainees_of
from marl_llm.rollout.policies import PolicyInfo
from marl_llm.rollout.session import RolePolicy
from marl_llm.tasks.procedural import procedural_task
from marl_llm.training.adapters import adapter_sha256, copy_version, publish_version
from marl_llm.workspace.open_run import OpenRun, policies
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import PromotionSection

logger = logging.getLogger(__name__)

Scores = dict[tuple[str, int], float]
"""Test score by (task, repetition)."""


@dataclass(frozen=True)
class Tried:
    """One team that was tried.

    Attributes
    ----------
    candidates : list of str
        Whose new adapters played; the others' were the present ones.
    score : float or None
        Mean test score over the tasks that both teams scored on, skill; None if there is none.
    difference, low, high : float or None
        Mean score minus the best version's so far on the same tasks, with its 95% interval.
    tasks : int
        Tasks that both scored on.
    failed : int
        Tasks that only the best version scored on.
    worse : bool
        `difference` lies below minus the slack, or its interval below 0, or there is none, or a
        task failed.
    """

    candidates: list[str]
    score: float | None
    difference: float | None
    low: float | None
    high: float | None
    tasks: int
    failed: int
    worse: bool


class Decision(TypedDict):
    """A decision as it is kept: the recipe's settings, the best version so far (None if no adapter
    changed), whether each trainee's candidate was promoted, every team that was tried.
    """

    tasks: int
    first_seed: int
    slack: float
    best: int | None
    promoted: dict[str, bool]
    tried: list[dict[str, object]]


def best_version(scores: Sequence[Scores]) -> int:
    """Number of the version with the most tasks scored and, of these, the best mean score; the
    latest of equals.
    """
    return max(range(len(scores)), key=lambda k: (len(scores[k]), sum(scores[k].values()), k))


def compare(candidates: Sequence[str], new: Scores, best: Scores, slack: float) -> Tried:
    """How a team with `candidates` did against the best so far, on the tasks that both have a score
    for.
    """
    found = paired_difference(new, best)
    both = [new[key] for key in new.keys() & best.keys()]
    failed = len(best.keys() - new.keys())
    beyond_chance = found.high is not None and found.high < 0
    worse = found.mean is None or found.mean < -slack or beyond_chance or failed > 0
    score = sum(both) / len(both) if both else None
    return Tried(
        list(candidates), score, found.mean, found.low, found.high, found.tasks, failed, worse
    )


def choose(
    candidates: Sequence[str], try_team: Callable[[Sequence[str]], Tried]
) -> tuple[list[str], list[Tried]]:
    """Which candidates to promote, and all that was tried: all together first, else the best alone
    that is not worse.

    Parameters
    ----------
    candidates : sequence of str
    try_team : callable
        Plays with the named candidates; called no more often than needed.
    """
    tried = [try_team(candidates)]
    if not tried[0].worse:
        return list(candidates), tried
    if len(candidates) > 1:
        tried += [try_team([one]) for one in candidates]
    alone = [t for t in tried[1:] if not t.worse]
    best = max(alone, key=lambda t: t.difference or 0.0, default=None)
    return (best.candidates if best else []), tried


def promote_stage(opened: OpenRun, k: int) -> None:
    """Decide on iteration k's candidates, publish version k + 1 of every adapter, and finish the
    iteration.
    """
    run = opened.run
    record = run.iteration(k) / "promotion.json"
    if not record.is_file():
        write_json(record, _decide(opened, k))
    decision = json.loads(record.read_text())
    for trainee, promoted in decision["promoted"].items():
        _publish(run, trainee, k, promoted)
    finish_iteration(opened.recipe, run, k, decision)


def _decide(opened: OpenRun, k: int) -> Decision:
    recipe, run = opened.recipe, opened.run
    candidates = trainees_of(recipe, run, k)
    changed = [t for t in candidates if adapter_sha256(run.candidate(t, k)) != run.sha256(t, k)]
    chosen: list[str] = []
    tried: list[Tried] = []
    best: int | None = None
    if changed:
        before = [_scores(opened, version, []) for version in range(k + 1)]
        best = best_version(before)
        try_team = functools.partial(_try, opened, k, before[best])
        chosen, tried = choose(changed, try_team)
        for one in tried:
            logger.info("promotion %d: %s", k, _describe(one))
    section = recipe.promotion
    promoted = {trainee: trainee in chosen or trainee not in changed for trainee in candidates}
    return {
        "tasks": section.tasks,
        "first_seed": section.first_seed,
        "slack": section.slack,
        "best": best,
        "promoted": promoted,
        "tried": [asdict(one) for one in tried],
    }


def _try(opened: OpenRun, k: int, best: Scores, candidates: Sequence[str]) -> Tried:
    return compare(candidates, _scores(opened, k, candidates), best, opened.recipe.promotion.slack)


def _scores(opened: OpenRun, k: int, candidates: Sequence[str]) -> Scores:
    """Test scores of version k with some adapters replaced by candidates; a team that played before
    is not asked.
    """
    recipe, run = opened.recipe, opened.run
    roles = policies(recipe.name, run, dict.fromkeys(ROLES, k))
    for role in ROLES:
        if run.trainee(role) in candidates:
            roles[role] = _candidate(run, recipe.name, run.trainee(role), k)
    arm = team_arm("validation", recipe.playing, roles, "", recipe.seed)
    folder = "-".join(dict.fromkeys(roles[role].info.sha256[:12] for role in ROLES))
    comparison = Comparison.of(opened.playing, recipe.seed, run.evaluation)
    results = play_arm(
        comparison, arm, _trials(recipe.promotion), run.evaluation / "validation" / folder
    )
    return {(r.task, r.repeat): r.test for r in results if r.test is not None}


def _candidate(run: RunDirectory, name: str, trainee: str, k: int) -> RolePolicy:
    """A candidate under a name of its own: served names are never used for two directories."""
    directory = run.candidate(trainee, k)
    fingerprint = adapter_sha256(directory)
    info = PolicyInfo(f"{name}-{trainee}-v{k + 1}-candidate-{fingerprint[:8]}", k + 1, fingerprint)
    return RolePolicy(directory, info)


def _trials(section: PromotionSection) -> list[Trial]:
    seeds = range(section.first_seed, section.first_seed + section.tasks)
    return [
        Trial(f"p{seed}", f"p{seed}", 0, functools.partial(procedural_task, seed)) for seed in seeds
    ]


def _publish(run: RunDirectory, trainee: str, k: int, promoted: bool) -> None:
    """Version k + 1: the candidate, or a copy of version k, the candidate being kept aside;
    repeatable.
    """
    candidate, after = run.candidate(trainee, k), run.adapter(trainee, k + 1)
    if promoted and not after.is_dir():
        publish_version(candidate, after)
    if not promoted:
        if not after.is_dir():
            copy_version(run.adapter(trainee, k), after)
        if candidate.is_dir():
            _put_aside(candidate, run.refused(trainee, k))


def _put_aside(candidate: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    publish_version(candidate, place)


def _describe(tried: Tried) -> str:
    who = " and ".join(tried.candidates)
    if tried.difference is None:
        return f"{who}: no task could be scored, not promoted"
    verdict = "worse" if tried.worse else "not worse"
    if tried.failed:
        verdict = f"worse, as {tried.failed} more could not be scored"
    return f"{who}: {tried.difference:+.4f} on {tried.tasks} validation tasks, {verdict}"
