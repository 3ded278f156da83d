"""How much a single step can gain: exhaustive search over the one-step proposals of `one_step.py`,
task by task.

`python recipes/studies/headroom.py (--suite DIR | --first-seed S --tasks N) --recipe R --out
FILE.json` tries every proposal from the baseline by its reference implementation, on the folds and
splits of `evaluate_suite` and `evaluate_procedural` (equal trial names, equal seeds), with the
recipe's evaluation cache and early stopping. Out: for each trial the proposal that an all-knowing
Data Scientist would choose, the best significant gain on the hold-out, with its gain on the test
part; and the largest test gain of all, which nobody can choose. Every finished trial is kept: the
same command goes on where it ended.

Up to two hundred proposals are tested at the level of one: by chance alone some are significant on
most tasks. `headroom` says that the environment would pay for a step; `confirmed`, that the chosen
step is better on the untouched test part too.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from headroom_file import DECIDES, Headroom, HeadroomFile, Step, line, load_headroom, summary
from one_step import MOST_COLUMNS, MOST_PAIRED, OneStep, one_steps

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.environment import Evaluated, State, TeamEnv
from marl_llm.evaluation.report import Result
from marl_llm.evaluation.scoring import Bench
from marl_llm.evaluation.study import run_study
from marl_llm.evaluation.trials import Problem, Trial, procedural_trials, suite_trials
from marl_llm.proposals import generate_code
from marl_llm.rollout.progress import minutes
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from marl_llm.workspace.open_run import open_sandbox
from marl_llm.workspace.recipe import Recipe, load_recipe

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)
LEADING = 10
"""Proposals of a trial that are kept by name: the largest gains on the hold-out."""


@dataclass(frozen=True)
class Searcher:
    """Searches trials.

    Attributes
    ----------
    sandbox : Sandbox
    recipe : Recipe
        Its environment section: folds, test of a gain, cache. Early stopping is switched on.
    seed : int
        The comparison's, as in `evaluate_suite`.
    jobs : int
        Proposals tried at once.
    """

    sandbox: Sandbox
    recipe: Recipe
    seed: int
    jobs: int

    def search(self, trial: Trial) -> Headroom:
        """Try every proposal of a trial. Raises RunFailed if the data defeat even the baseline."""
        began, task = time.monotonic(), trial.load()
        config = self.recipe.environment.model_copy(update={"early_stop": True})
        with closing(TeamEnv(task, self.sandbox, config, trial.seed(self.seed))) as env:
            state = env.reset()
            start = env.test_scores(state)
            if start is None:
                raise RunFailed(f"{task.name}: the baseline has no test score")
            proposals = one_steps(env.card, state.spec)
            tried = _each(functools.partial(_try, env, state, start.score), proposals, self.jobs)
            fits = env.evaluator.fits
        found = [step for step in tried if step is not None]
        chosen = best_step(found)
        low, high = (
            (None, None) if chosen is None else self._interval(trial, task, chosen, proposals)
        )
        tested = [step for step in found if step.test_gain is not None]
        return Headroom(
            trial=trial.name,
            task=trial.task,
            repeat=trial.repeat,
            kind=str(task.kind),
            rows=len(task.development.y),
            columns=len(task.columns),
            baseline=start.score,
            proposals=len(proposals),
            failed=len(proposals) - len(found),
            significant=sum(step.significant for step in found),
            best=chosen,
            low=low,
            high=high,
            oracle=max(tested, key=lambda step: step.test_gain or 0.0, default=None),
            leading=sorted(found, key=lambda step: -step.gain)[:LEADING],
            fits=fits,
            seconds=round(time.monotonic() - began, 1),
        )

    def _interval(
        self, trial: Trial, task: Task, chosen: Step, proposals: Sequence[OneStep]
    ) -> tuple[float | None, float | None]:
        """Interval of the chosen step's test gain, made as teams' results are."""
        spec = next(one.spec for one in proposals if one.text == chosen.action)
        bench = Bench(self.sandbox, self.recipe.environment, self.seed)
        empty = Result(
            arm="best step",
            trial=trial.name,
            task=trial.task,
            repeat=trial.repeat,
            kind=str(task.kind),
        )
        result = bench.with_test(empty, trial, task, spec)
        return result.low, result.high


def best_step(steps: Sequence[Step]) -> Step | None:
    """The largest significant gain on the hold-out, the first of equal ones; None without one."""
    return max(
        (step for step in steps if step.significant), key=lambda step: step.gain, default=None
    )


def _try(env: TeamEnv, state: State, start: float, one: OneStep) -> Step | None:
    """One proposal by its reference implementation; None if that does not run."""
    code = generate_code(one.spec)
    done: Evaluated = env.run(code, state.evaluated)
    comparison = env.compare(state.evaluated, done)
    if comparison is None:
        return None
    test = env.evaluator.test_scores(one.spec)
    return Step(
        action=one.text,
        family=one.family,
        gain=comparison.gain,
        p_value=comparison.p_value,
        significant=comparison.significant,
        test_gain=None if test is None else test.score - start,
    )


def _each(function: Callable[[T], R], items: Sequence[T], workers: int) -> list[R]:
    """Apply to every item, some at once; the first error or Ctrl-C drops those not begun."""
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="headroom")
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def headroom(
    recipe: Recipe,
    trials: Sequence[Trial],
    problems: Sequence[Problem],
    out: Path,
    *,
    seed: int = 0,
    jobs: int = 1,
) -> HeadroomFile:
    """Search every trial that the file does not hold yet; the file is written after each.

    Parameters
    ----------
    recipe : Recipe
    trials, problems
        As `suite_trials` and `procedural_trials` give them.
    out : Path
        JSON file.
    seed : int
        The one that the evaluations to be compared with were made with.
    jobs : int
        Proposals tried at once, one core each.

    Raises
    ------
    UserError
        The file holds a search made with other settings.
    """
    settings = _settings(recipe, seed)
    kept = _kept(out, settings)
    done = {one.trial: one for one in kept.trials}
    missing = [trial for trial in trials if trial.name not in done]
    found = list(problems)
    logger.info(
        "headroom: %d trials, %d of them kept from before", len(trials), len(trials) - len(missing)
    )
    began = time.monotonic()
    with open_sandbox(recipe.sandbox.model_copy(update={"slots": jobs})) as sandbox:
        searcher = Searcher(sandbox, recipe, seed, jobs)
        for number, trial in enumerate(missing, start=1):
            try:
                done[trial.name] = searcher.search(trial)
            except RunFailed as error:
                found.append(Problem(task=trial.task, error=str(error)))
                logger.info("%s is left out: %s", trial.name, error)
                continue
            kept = kept.model_copy(update={"trials": list(done.values()), "problems": found})
            write_json(out, kept.model_dump(mode="json"))
            left = (len(missing) - number) * (time.monotonic() - began) / number
            logger.info(
                "%s; %d/%d, %s left", line(done[trial.name]), number, len(missing), minutes(left)
            )
    final = kept.model_copy(update={"trials": list(done.values()), "problems": found})
    write_json(out, final.model_dump(mode="json"))
    return final


def _kept(path: Path, settings: dict[str, Any]) -> HeadroomFile:
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    if not path.is_file():
        return HeadroomFile(settings=settings, fingerprint=fingerprint)
    kept = load_headroom(path)
    if kept.fingerprint != fingerprint:
        raise UserError(f"{path} holds a search with other settings; name another file with --out.")
    return kept


def _settings(recipe: Recipe, seed: int) -> dict[str, Any]:
    """What a trial's search depends on besides its data."""
    return {
        "seed": seed,
        "environment": recipe.environment.model_dump(mode="json", include=set(DECIDES)),
        "sandbox": recipe.sandbox.model_dump(mode="json", exclude={"slots"}),
        "most_columns": MOST_COLUMNS,
        "most_paired": MOST_PAIRED,
    }


def _trials(options: argparse.Namespace) -> tuple[list[Trial], list[Problem]]:
    if options.suite is not None:
        return suite_trials(options.suite, options.repeats, options.seed)
    return procedural_trials(options.first_seed, options.tasks, options.repeats), []


def main(arguments: list[str] | None = None) -> int:
    """Command line: search, show progress, print the summary."""
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/headroom.py",
        description="The best single step from the baseline, by search.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--suite", type=Path, help="directory with suite.yaml")
    where.add_argument("--tasks", type=int, help="number of procedural tasks")
    parser.add_argument(
        "--first-seed", type=int, default=900_000, help="seed of the first procedural task"
    )
    parser.add_argument(
        "--recipe", type=Path, required=True, help="its environment and sandbox sections are used"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=1,
        help="splits of each CSV (episode seeds of a procedural task)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the evaluation's, so that results can be joined"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="proposals tried at once, one core each"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON file; finished trials in it are kept"
    )
    options = parser.parse_args(arguments)

    def study() -> str:
        recipe = load_recipe(options.recipe)
        trials, problems = _trials(options)
        return summary(
            headroom(recipe, trials, problems, options.out, seed=options.seed, jobs=options.jobs)
        )

    return run_study(study)


if __name__ == "__main__":
    raise SystemExit(main())
