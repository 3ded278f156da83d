"""Whole comparisons: a suite of CSV files, unseen procedural tasks, one version of the adapters for
the learning curve.

In: a run, its recipe, the arms. Out: an `EvaluationReport`, and under `out` one directory an arm
with trajectories and results, and `evaluation.json`. Sandbox and server are opened here; the server
starts only when a served team has something left to play.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.roles import ROLES
from marl_llm.evaluation.arms import ARMS, Arm, left_out, make_arms, plain, team_arm, trained_roles
from marl_llm.evaluation.fixed import BASELINE
from marl_llm.evaluation.plans import DEFAULT_BUDGET
from marl_llm.evaluation.play import Comparison, budgets_of, play_arm
from marl_llm.evaluation.report import (
    REPORT_FILE,
    EvaluationReport,
    Result,
    differences,
    pairs_against,
    summarise_arm,
    summarise_arms,
)
from marl_llm.evaluation.statistics import LEVEL, Estimate
from marl_llm.evaluation.trials import Problem, Trial, procedural_trials, suite_trials
from marl_llm.rollout.budget import Budget
from marl_llm.rollout.collect import PlannedEpisode
from marl_llm.rollout.figures import FIGURES, nested
from marl_llm.rollout.session import BASE_POLICY
from marl_llm.workspace.open_run import SERVER_LOG, OpenRun, opened
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory, package_versions

OnLine = Callable[[str], None]


def evaluate_suite(
    run: RunDirectory,
    recipe: Recipe,
    *,
    suite: Path,
    arms: Sequence[str] = ARMS,
    repeats: int = 1,
    seed: int = 0,
    flaml_seconds: float | None = None,
    play_budget: Budget = DEFAULT_BUDGET,
    against: str | None = None,
    server: str | None = None,
    opened: OpenRun | None = None,
    out: Path,
    on_line: OnLine = lambda line: None,
) -> EvaluationReport:
    """Compare arms on every CSV of a suite.

    Parameters
    ----------
    run, recipe
        Where the trained adapters lie, and how episodes are played.
    suite : Path
        Directory with task files.
    arms : sequence of str
        Of `arms.KNOWN`, or "trained@K". The baseline is always added; a fixed arm whose package is
        missing is left out.
    repeats : int
        Repetitions of each CSV, each with another split and other seeds.
    seed : int
    flaml_seconds : float, optional
        CPU seconds of the arm `flaml` on each trial. Default: those that a team of the comparison
        took there.
    play_budget : Budget
        Of the arms that play as `solve` does.
    against : str, optional
        An arm of the comparison that all others are held against, CSV by CSV.
    server : str, optional
        Address of a running model server; else one is started when it is needed.
    opened : OpenRun, optional
        The run, already open: its server and sandbox are used.
    out : Path
        What was finished there under the same settings is kept.
    on_line : callable
        Told a line of progress now and then.

    Returns
    -------
    EvaluationReport
        A CSV that cannot be used stands in `problems`, by name.

    Raises
    ------
    UserError
        Unknown arm, FLAML not installed, `against` not in the comparison, no such suite, or a suite
        without a single usable CSV.
    """
    chosen = _choose(arms, against, flaml_seconds, play_budget, recipe, run, seed)
    trials, problems = suite_trials(suite, repeats, seed)
    for problem in problems:
        on_line(f"{problem.task} is left out: {problem.error}")
    about = {"suite": suite.resolve().name, "split": "development 50%, hold-out 25%, test 25%"}
    return _compare(
        opened or (run, server), recipe, chosen, trials, problems, about, repeats, out, on_line
    )


def evaluate_procedural(
    run: RunDirectory,
    recipe: Recipe,
    *,
    arms: Sequence[str] = ARMS,
    count: int,
    first_seed: int,
    repeats: int = 1,
    seed: int = 0,
    flaml_seconds: float | None = None,
    play_budget: Budget = DEFAULT_BUDGET,
    against: str | None = None,
    server: str | None = None,
    opened: OpenRun | None = None,
    out: Path,
    on_line: OnLine = lambda line: None,
) -> EvaluationReport:
    """Compare arms on `count` procedural tasks, with seeds from `first_seed` on; otherwise as
    `evaluate_suite`.
    """
    chosen = _choose(arms, against, flaml_seconds, play_budget, recipe, run, seed)
    trials = procedural_trials(first_seed, count, repeats)
    about = {"suite": f"procedural tasks {first_seed} to {first_seed + count - 1}"}
    return _compare(
        opened or (run, server), recipe, chosen, trials, [], about, repeats, out, on_line
    )


def evaluate_trials(
    run: RunDirectory,
    recipe: Recipe,
    trials: Sequence[Trial],
    *,
    about: dict[str, Any],
    arms: Sequence[str],
    seed: int = 0,
    play_budget: Budget = DEFAULT_BUDGET,
    out: Path,
    on_line: OnLine = lambda line: None,
) -> EvaluationReport:
    """Compare arms on trials of the caller's, each task once; `about["suite"]` names them.
    Otherwise as `evaluate_suite`.
    """
    chosen = _choose(arms, None, None, play_budget, recipe, run, seed)
    return _compare((run, None), recipe, chosen, trials, [], about, 1, out, on_line)


@dataclass(frozen=True)
class _Chosen:
    """The arms of a comparison, the one the others are held against, and a sentence for each that
    had to stay away.
    """

    arms: list[Arm]
    against: str | None
    left_out: list[str]
    seed: int


def _choose(
    names: Sequence[str],
    against: str | None,
    flaml_seconds: float | None,
    play_budget: Budget,
    recipe: Recipe,
    run: RunDirectory,
    seed: int,
) -> _Chosen:
    """The arms by name. Raises UserError as `make_arms`, and where nothing is there to be held
    against.
    """
    missing = left_out(names)
    arms = make_arms(
        [name for name in names if name not in missing],
        recipe,
        run,
        seed,
        flaml_seconds,
        play_budget,
    )
    known = [arm.name for arm in arms]
    if against is not None and against not in known:
        raise UserError(
            f"--against {against}: the comparison has no such arm; it has "
            f"{', '.join(known)}. Add it to --arms."
        )
    return _Chosen(arms, against, list(missing.values()), seed)


@contextmanager
def _open(
    where: OpenRun | tuple[RunDirectory, str | None], recipe: Recipe, out: Path
) -> Iterator[OpenRun]:
    """The run with server and sandbox: as it is, or opened for this block."""
    if isinstance(where, OpenRun):
        yield where
        return
    run, server = where
    with opened(recipe, run, attach=server, log=out / SERVER_LOG) as ready:
        yield ready


def _compare(
    where: OpenRun | tuple[RunDirectory, str | None],
    recipe: Recipe,
    chosen: _Chosen,
    trials: Sequence[Trial],
    problems: Sequence[Problem],
    about: dict[str, Any],
    repeats: int,
    out: Path,
    on_line: OnLine,
) -> EvaluationReport:
    """Play all arms, the baseline first: a task that defeats it is a problem of the data and takes
    no part.

    An arm with a budget comes last, since what another took may be it.
    """
    for sentence in chosen.left_out:
        on_line(sentence)
    results: list[Result] = []
    found = list(problems)
    with _open(where, recipe, out) as opened:
        comparison = Comparison.of(opened, chosen.seed, out)
        for arm in sorted(
            chosen.arms, key=lambda arm: (arm.name != BASELINE, arm.budget is not None)
        ):
            on_line(f"{arm.name}: {len(trials)} trials ({arm.what})")
            budgets = budgets_of(arm.budget, trials, results) if arm.budget else None
            done = play_arm(comparison, arm, trials, out / arm.folder, budgets)
            if arm.name == BASELINE:
                found += _defeated(done)
                trials, done = _usable(trials, done)
            results += done
    if not trials:
        raise RunFailed(
            f"No task could be used: {'; '.join(f'{p.task}: {p.error}' for p in found[:3])}"
        )
    report = _report(recipe, chosen, results, found, about, repeats)
    write_json(out / REPORT_FILE, report.to_dict())
    return report


def _defeated(baseline: Sequence[Result]) -> list[Problem]:
    return [Problem(task=r.task, error=f"the baseline {r.error}") for r in baseline if r.error]


def _usable(
    trials: Sequence[Trial], baseline: Sequence[Result]
) -> tuple[list[Trial], list[Result]]:
    """Trials whose baseline has a score, and those scores."""
    scored = [r for r in baseline if not r.error]
    names = {r.trial for r in scored}
    return [trial for trial in trials if trial.name in names], scored


def _report(
    recipe: Recipe,
    chosen: _Chosen,
    results: Sequence[Result],
    problems: Sequence[Problem],
    about: dict[str, Any],
    repeats: int,
) -> EvaluationReport:
    settings = {
        **about,
        "left_out": chosen.left_out,
        "recipe": recipe.name,
        "model": Path(recipe.model.name).name,
        "environment": recipe.environment.model_dump(mode="json"),
        "rollout": plain(recipe).model_dump(mode="json"),
        "isolation": recipe.sandbox.level,
        "packages": package_versions(),
    }
    return EvaluationReport(
        name=about["suite"],
        level=LEVEL,
        repeats=repeats,
        seed=chosen.seed,
        tasks=len({r.task for r in results}),
        settings=settings,
        arms=summarise_arms(chosen.arms, results, chosen.seed),
        differences=differences(chosen.arms, results),
        against=pairs_against(chosen.against, chosen.arms, results) if chosen.against else [],
        results=list(results),
        problems=list(problems),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def evaluate_versions(
    opened: OpenRun,
    versions: dict[str, int] | None,
    plans: Sequence[PlannedEpisode],
    directory: Path,
) -> dict[str, Any]:
    """Play unseen tasks once with given adapters: one point of the learning curve.

    Every version plays the same tasks with the same seeds, so that points are paired.

    Parameters
    ----------
    opened : OpenRun
        The run with its server and sandbox.
    versions : dict of role to version, or None
        None for the base model without adapters.
    plans : sequence of PlannedEpisode
        One task each.
    directory : Path
        For this version alone; finished episodes there are kept.

    Returns
    -------
    dict
        Means over tasks: gain (hold-out), test, test_gain, improved, worse, and the figures of
        `rollout/figures.py`; and under "intervals" the 95% interval [low, high] of each, None with
        fewer than two tasks. Also episodes, failed (no test score).
    """
    recipe, run = opened.recipe, opened.run
    roles = trained_roles(recipe, run, versions) if versions else dict.fromkeys(ROLES, BASE_POLICY)
    arm = team_arm("trained" if versions else "untrained", recipe, roles, "", recipe.seed)
    trials = [Trial(plan.name, plan.name, 0, plan.load) for plan in plans]
    results = play_arm(Comparison.of(opened, recipe.seed), arm, trials, directory)
    return _figures(results)


def _figures(results: Sequence[Result]) -> dict[str, Any]:
    summary = summarise_arm("", "", results)
    keys = {figure.name: figure.key for figure in FIGURES}
    estimates: dict[str, Estimate] = {
        "gain": summary.holdout_gain,
        "test": summary.test,
        "test_gain": summary.gain,
        "improved": summary.improved,
        "worse": summary.worse,
        **{keys.get(name, name): e for name, e in summary.team.items()},
    }
    means = nested({key: e.mean for key, e in estimates.items()})
    intervals = nested({key: _interval(e) for key, e in estimates.items()})
    return {"episodes": len(results), "failed": summary.failed, **means, "intervals": intervals}


def _interval(estimate: Estimate) -> list[float] | None:
    return None if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
