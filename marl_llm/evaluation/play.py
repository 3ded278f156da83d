"""Playing the arms: fixed solutions are run, teams play plain episodes, FLAML searches, and each
trial's result is kept in a file.

In: arms, trials, a directory. Out: results; `<directory>/results/<trial>.json` exists when a trial
is scored, beside the episode's trajectory. Interrupted and started again, nothing finished is
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from marl_llm.core.atomic import write_text
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.environment.experience import NOTHING, Experience
from marl_llm.evaluation.arms import Arm, Budget, plain
from marl_llm.evaluation.budgeted import BudgetedArm
from marl_llm.evaluation.costs import Cost
from marl_llm.evaluation.countdown import Countdown
from marl_llm.evaluation.fixed import BASELINE, fixed_spec, start_of
from marl_llm.evaluation.flaml_arm import MIN_SECONDS, FlamlFailed, FlamlProcesses
from marl_llm.evaluation.report import Result
from marl_llm.evaluation.scoring import Bench, TestRun, final_code
from marl_llm.evaluation.trials import Trial
from marl_llm.proposals import generate_code
from marl_llm.rewards import FACTS, score_rows
from marl_llm.rollout.episode import Team
from marl_llm.rollout.figures import COLUMNS as FIGURE_COLUMNS
from marl_llm.rollout.figures import FIGURES, values
from marl_llm.rollout.metrics import played
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.rollout.summary import EpisodeSummary, read_summaries
from marl_llm.trajectories import read_rows
from marl_llm.workspace.open_run import (
    OpenPlay,
    play,
    play_scripted,
    seen_experience,
    settings,
)

COLUMNS = tuple(
    dict.fromkeys(("episode", "branch", "role", "step", "action", *FIGURE_COLUMNS, *FACTS))
)


@dataclass(frozen=True)
class Comparison:
    """What all arms of a comparison share: sandbox and server, the seed, the scoring, and what the
    teams are told of other data sets.
    """

    opened: OpenPlay
    seed: int
    bench: Bench
    seen: Experience = NOTHING

    @classmethod
    def of(cls, opened: OpenPlay, seed: int, directory: Path) -> Comparison:
        """A comparison that scores with the sandbox that is open.

        All that is played under `directory` (for versions of a run, all its evaluations) sees the
        experience as it was when the first of it began, so that versions are compared under the
        same prompts; none of it is remembered.
        """
        seen = seen_experience(opened.sections, directory)
        return cls(opened, seed, Bench(opened.sandbox, opened.sections.environment, seed), seen)


def play_arm(
    comparison: Comparison,
    arm: Arm,
    trials: Sequence[Trial],
    directory: Path,
    budgets: Mapping[str, float | None] | None = None,
) -> list[Result]:
    """Results of an arm on all trials, in their order; those that lie in `directory` are not made
    again.

    Parameters
    ----------
    comparison, arm, trials, directory
    budgets : mapping of trial name to float or None, optional
        CPU seconds on each trial, for an arm with a budget (`budgets_of`); None: no budget, and so
        no result.

    Raises
    ------
    RunFailed
        The server died, the disk is full, or the data defeat the environment; finished trials are
        kept.
    """
    budgets = budgets or {}
    kept = {trial.name: _kept(directory, trial, budgets.get(trial.name)) for trial in trials}
    missing = [trial for trial in trials if kept[trial.name] is None]
    if missing:
        processes = FlamlProcesses()
        if arm.is_team:
            finish = _team_results(comparison, arm, missing, directory)
        elif arm.plan:
            finish = BudgetedArm(
                arm.plan, comparison.bench, directory, comparison.seed, comparison.seen
            ).play
        elif arm.budget:
            finish = _flaml_result(comparison, arm, processes, budgets)
        else:
            finish = _fixed_result(comparison, arm)

        countdown = (
            Countdown(arm.name, len(trials), len(trials) - len(missing)) if arm.plan else None
        )

        def make(trial: Trial) -> Result:
            result = finish(trial)
            if not result.error:
                write_text(_path(directory, trial), result.model_dump_json(indent=1) + "\n")
            if countdown:
                countdown.trial()
            return result

        workers = 1 if arm.plan else comparison.opened.sandbox.slots
        made = _each(make, missing, workers, processes.stop)
        kept |= {trial.name: result for trial, result in zip(missing, made, strict=True)}
    return [result for trial in trials if (result := kept[trial.name]) is not None]


def _fixed_result(comparison: Comparison, arm: Arm) -> Callable[[Trial], Result]:
    def finish(trial: Trial) -> Result:
        task = trial.load()
        spec = start_of(task) if arm.name == BASELINE else fixed_spec(arm.name, task.kind)
        return comparison.bench.fixed(arm.name, trial, task, generate_code(spec))

    return finish


def budgets_of(
    budget: Budget, trials: Sequence[Trial], results: Sequence[Result]
) -> dict[str, float | None]:
    """CPU seconds on each trial, at least `MIN_SECONDS`.

    Parameters
    ----------
    budget : Budget
    trials : sequence of Trial
    results : sequence of Result
        Of the arms played so far.

    Returns
    -------
    dict of trial name to float, or to None where the arm to be matched has no result.

    Raises
    ------
    UserError
        The arm to be matched has a result without a cost: it was played by an older version.
    """
    if budget.seconds is not None:
        return {trial.name: budget.seconds for trial in trials}
    matched = {r.trial: r for r in results if r.arm == budget.like and not r.error}
    unknown = next((r for r in matched.values() if r.cpu_s is None), None)
    if unknown:
        raise UserError(
            f"What {budget.like} took on {unknown.task} was not recorded by the version that "
            "played it: give --flaml-seconds, or another --out to play it again."
        )
    costs = {name: result.cpu_s or 0.0 for name, result in matched.items()}
    return {
        trial.name: max(MIN_SECONDS, costs[trial.name]) if trial.name in costs else None
        for trial in trials
    }


def _flaml_result(
    comparison: Comparison, arm: Arm, processes: FlamlProcesses, budgets: Mapping[str, float | None]
) -> Callable[[Trial], Result]:
    def finish(trial: Trial) -> Result:
        task, seconds = trial.load(), budgets[trial.name]
        result = Result(
            arm=arm.name,
            trial=trial.name,
            task=trial.task,
            repeat=trial.repeat,
            kind=str(task.kind),
        )
        if seconds is None:
            return result.model_copy(
                update={"error": "no budget: the arm it is to match has no result here"}
            )
        try:
            predictions, cost = processes.predict(task, seconds, trial.seed(comparison.seed))
        except FlamlFailed as error:
            return result.model_copy(
                update={"budget_s": seconds, "error": f"FLAML gave no model: {error}"}
            )
        figures = {
            "budget_s": seconds,
            "cpu_s": round(cost.cpu_s, 3),
            "wall_s": round(cost.wall_s, 3),
        }
        return comparison.bench.judged(
            result.model_copy(update=figures), trial, task, TestRun(predictions)
        )

    return finish


def _team_results(
    comparison: Comparison, arm: Arm, trials: Sequence[Trial], directory: Path
) -> Callable[[Trial], Result]:
    """Play the episodes that are missing; returns the function that scores one of them."""
    errors = _play_episodes(comparison, arm, trials, directory)
    summaries = {summary.episode: summary for summary in read_summaries(directory)}
    rows = score_rows(read_rows(directory, COLUMNS), comparison.opened.sections.rewards)
    episodes = dict(list(rows.groupby("episode", sort=False)))

    def finish(trial: Trial) -> Result:
        task = trial.load()
        result = Result(
            arm=arm.name,
            trial=trial.name,
            task=trial.task,
            repeat=trial.repeat,
            kind=str(task.kind),
        )
        if trial.name in errors:
            return result.model_copy(update={"error": errors[trial.name]})
        summary, rows = summaries[trial.name], episodes[trial.name]
        figures = {
            "holdout": summary.final,
            "holdout_gain": summary.gain,
            "team": team_figures(rows, summary),
        }
        result = result.model_copy(update=figures)
        spent = None if summary.cpu_s is None else Cost(summary.cpu_s, summary.wall_s or 0.0)
        return comparison.bench.with_test(result, trial, task, final_code(summary), spent)

    return finish


def _play_episodes(
    comparison: Comparison, arm: Arm, trials: Sequence[Trial], directory: Path
) -> dict[str, str]:
    """Play all trials at once; if one of them cannot be played, one by one. Returns the errors by
    trial.

    Raises
    ------
    UserError
        Not a single trial can be played: the error is not the task's.
    """
    plans = [PlannedEpisode(trial.name, trial.load) for trial in trials]
    try:
        _play(comparison, arm, plans, directory)
    except RunFailed:
        raise
    except UserError as error:
        errors: dict[str, str] = {}
        for plan in plans:
            try:
                _play(comparison, arm, [plan], directory)
            except RunFailed:
                raise
            except UserError as own:
                errors[plan.name] = str(own)
        if len(errors) == len(plans):
            raise error
        return errors
    return {}


def _play(comparison: Comparison, arm: Arm, plans: list[PlannedEpisode], directory: Path) -> None:
    opened = comparison.opened
    sections, what = opened.sections, f"evaluate {arm.name}"
    # Iteration 0 for every arm and version: the same folds and seeds, so that differences are
    # paired. The test part is read by `Bench`, which also keeps raw metrics and compares row by
    # row.
    chosen = replace(
        settings(sections, 0),
        rollout=plain(sections.rollout),
        environment=sections.environment.model_copy(update={"early_stop": False}),
        seed=comparison.seed,
        seen=comparison.seen,
    )
    if arm.roles is not None:
        play(opened, arm.roles, directory, plans, chosen, what)
        return
    team = Team(ScriptedPolicy(), ScriptedPolicy(sections.scripted_error_rate))
    play_scripted(opened.machines, team, directory, plans, chosen, what)


def team_figures(rows: pd.DataFrame, summary: EpisodeSummary) -> dict[str, float | None]:
    """Figures of one episode for averaging over episodes; None where nothing was there to count.

    Parameters
    ----------
    rows : DataFrame
        The episode's trajectory rows, with their rewards.
    summary : EpisodeSummary
    """
    spoke, found = set(rows["role"]), values(played(rows, [summary]))
    there = {figure.key: figure.turns_of is None or figure.turns_of in spoke for figure in FIGURES}
    return {
        figure.name: found[figure.key] if there[figure.key] else None
        for figure in FIGURES
        if figure.key in found
    }


def _path(directory: Path, trial: Trial) -> Path:
    return directory / "results" / f"{trial.name}.json"


def _kept(directory: Path, trial: Trial, budget: float | None) -> Result | None:
    """The result that lies there, unless it was made with another budget."""
    path = _path(directory, trial)
    try:
        result = Result.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):  # not made yet, or by another version
        return None
    return result if result.budget_s == budget else None


def _each(
    function: Callable[[Trial], Result],
    trials: Sequence[Trial],
    workers: int,
    stop: Callable[[], None],
) -> list[Result]:
    """Apply to every trial, some at once; the first error or Ctrl-C drops those not begun and stops
    those under way.
    """
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="score")
    try:
        return list(pool.map(function, trials))
    except BaseException:  # Ctrl-C reaches this thread only
        stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
