"""Whole comparisons: a suite of CSV files, unseen procedural tasks, one version of the adapters for
the learning curve.

In: a run, the sections of a recipe that playing reads, a question. Out: an `EvaluationReport`, and
under `out` one directory an arm with trajectories and results, and `evaluation.json`. Sandbox and
server are opened here unless they are open; the server starts only when a served team has something
left to play.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from marl_llm.core.atomic import write_json
from marl_llm.core.directory import held
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
from marl_llm.rollout.figures import FIGURES, nested
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.rollout.session import BASE_POLICY
from marl_llm.workspace.open_run import SERVER_LOG, OpenPlay, open_play
from marl_llm.workspace.run import RunDirectory, package_versions
from marl_llm.workspace.sections import PlaySections

OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Question:
    """What is compared, and how.

    Attributes
    ----------
    arms : sequence of str
        Of `arms.KNOWN`, or "trained@K". The baseline is always added; a fixed arm whose package is
        missing is left out.
    repeats : int
        Repetitions of each task, each with other seeds, and of a CSV with another split.
    seed : int
    flaml_seconds : float, optional
        CPU seconds of the arm `flaml` on each trial. Default: those that a team of the comparison
        took there.
    play_budget : Budget
        Of the arms that play as `solve` does.
    against : str, optional
        An arm of the comparison that all others are held against, CSV by CSV.
    """

    arms: Sequence[str] = ARMS
    repeats: int = 1
    seed: int = 0
    flaml_seconds: float | None = None
    play_budget: Budget = DEFAULT_BUDGET
    against: str | None = None


def evaluate_suite(
    run: RunDirectory,
    sections: PlaySections,
    question: Question,
    *,
    suite: Path,
    servers: Sequence[str] = (),
    opened: OpenPlay | None = None,
    out: Path,
    on_line: OnLine = lambda line: None,
) -> EvaluationReport:
    """Compare arms on every CSV of a suite.

    Parameters
    ----------
    run, sections
        Where the trained adapters lie, and how episodes are played.
    question : Question
    suite : Path
        Directory with task files.
    servers : sequence of str
        Addresses of running model servers; without any, one is started when it is needed.
    opened : OpenPlay, optional
        Server and sandbox that are open, for the same sections.
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
    chosen = _choose(question, sections, run, on_line)
    trials, problems = suite_trials(suite, question.repeats, question.seed)
    for problem in problems:
        on_line(f"{problem.task} is left out: {problem.error}")
    about = {"suite": suite.resolve().name, "split": "development 50%, hold-out 25%, test 25%"}
    with _ready(sections, servers, opened, out) as ready:
        return _compare(ready, chosen, _Tasks(about, trials, problems), out, on_line)


def evaluate_procedural(
    run: RunDirectory,
    sections: PlaySections,
    question: Question,
    *,
    count: int,
    first_seed: int,
    servers: Sequence[str] = (),
    opened: OpenPlay | None = None,
    out: Path,
    on_line: OnLine = lambda line: None,
) -> EvaluationReport:
    """Compare arms on `count` procedural tasks, with seeds from `first_seed` on; otherwise as
    `evaluate_suite`.
    """
    chosen = _choose(question, sections, run, on_line)
    trials = procedural_trials(first_seed, count, question.repeats)
    about = {"suite": f"procedural tasks {first_seed} to {first_seed + count - 1}"}
    with _ready(sections, servers, opened, out) as ready:
        return _compare(ready, chosen, _Tasks(about, trials), out, on_line)


def evaluate_trials(
    run: RunDirectory,
    sections: PlaySections,
    question: Question,
    trials: Sequence[Trial],
    *,
    name: str,
    out: Path,
    on_line: OnLine = lambda line: None,
) -> EvaluationReport:
    """Compare arms on trials of the caller's, which go by `name`; otherwise as `evaluate_suite`."""
    chosen = _choose(question, sections, run, on_line)
    with _ready(sections, (), None, out) as ready:
        return _compare(ready, chosen, _Tasks({"suite": name}, trials), out, on_line)


@dataclass(frozen=True)
class _Tasks:
    """What a comparison is made on: in words, the trials, and what could not be used."""

    about: dict[str, str]
    trials: Sequence[Trial]
    problems: Sequence[Problem] = ()


@dataclass(frozen=True)
class _Chosen:
    """The arms of a comparison, what was asked, and a sentence for each arm that had to stay
    away.
    """

    arms: list[Arm]
    question: Question
    left_out: list[str]


def _choose(
    question: Question, sections: PlaySections, run: RunDirectory, on_line: OnLine
) -> _Chosen:
    """The arms by name; tells of each that has to stay away. Raises UserError as `make_arms`, and
    where nothing is there to be held against.
    """
    missing, against = left_out(question.arms), question.against
    arms = make_arms(
        [name for name in question.arms if name not in missing],
        sections,
        run,
        question.seed,
        question.flaml_seconds,
        question.play_budget,
    )
    known = [arm.name for arm in arms]
    if against is not None and against not in known:
        raise UserError(
            f"--against {against}: the comparison has no such arm; it has "
            f"{', '.join(known)}. Add it to --arms."
        )
    for sentence in missing.values():
        on_line(sentence)
    return _Chosen(arms, question, list(missing.values()))


@contextmanager
def _ready(
    sections: PlaySections, servers: Sequence[str], opened: OpenPlay | None, out: Path
) -> Iterator[OpenPlay]:
    """Server and sandbox: as they are, or opened for this block, which has `out` for itself."""
    if opened is not None:
        yield opened
        return
    with held(out), open_play(sections, out / SERVER_LOG, servers) as ready:
        yield ready


def _compare(
    opened: OpenPlay, chosen: _Chosen, tasks: _Tasks, out: Path, on_line: OnLine
) -> EvaluationReport:
    """Play all arms, the baseline first: a task that defeats it is a problem of the data and takes
    no part.

    An arm with a budget comes last, since what another took may be it.
    """
    results: list[Result] = []
    trials, found = tasks.trials, list(tasks.problems)
    comparison = Comparison.of(opened, chosen.question.seed, out)
    for arm in sorted(chosen.arms, key=lambda arm: (arm.name != BASELINE, arm.budget is not None)):
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
    report = _report(opened.sections, chosen, results, found, tasks.about)
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
    sections: PlaySections,
    chosen: _Chosen,
    results: Sequence[Result],
    problems: Sequence[Problem],
    about: dict[str, str],
) -> EvaluationReport:
    question = chosen.question
    settings = {
        **about,
        "left_out": chosen.left_out,
        "recipe": sections.name,
        "model": Path(sections.model.name).name,
        "environment": sections.environment.model_dump(mode="json"),
        "rollout": plain(sections.rollout).model_dump(mode="json"),
        "isolation": sections.sandbox.level,
        "packages": package_versions(),
    }
    return EvaluationReport(
        name=about["suite"],
        level=LEVEL,
        repeats=question.repeats,
        seed=question.seed,
        tasks=len({r.task for r in results}),
        settings=settings,
        arms=summarise_arms(chosen.arms, results, question.seed),
        differences=differences(chosen.arms, results),
        against=pairs_against(question.against, chosen.arms, results) if question.against else [],
        results=list(results),
        problems=list(problems),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def evaluate_versions(
    opened: OpenPlay,
    run: RunDirectory,
    versions: dict[str, int] | None,
    plans: Sequence[PlannedEpisode],
    directory: Path,
) -> dict[str, object]:
    """Play unseen tasks once with given adapters: one point of the learning curve.

    Every version plays the same tasks with the same seeds, so that points are paired.

    Parameters
    ----------
    opened : OpenPlay
        Server and sandbox, and how episodes are played.
    run : RunDirectory
        Where the adapters lie.
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
    sections, roles = opened.sections, dict.fromkeys(ROLES, BASE_POLICY)
    if versions:
        roles = trained_roles(sections.name, run, versions)
    arm = team_arm("trained" if versions else "untrained", sections, roles, "", sections.seed)
    trials = [Trial(plan.name, plan.name, 0, plan.load) for plan in plans]
    comparison = Comparison.of(opened, sections.seed, run.evaluation)
    results = play_arm(comparison, arm, trials, directory)
    return _figures(results)


def _figures(results: Sequence[Result]) -> dict[str, object]:
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
