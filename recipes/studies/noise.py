"""How often a delivered model is worse than the one it started from, on tasks that invite the
mistake.

In: arms that deliver a model, seeds of noisy tasks (`tasks/procedural/noisy.py`). Out: for each
arm, and each kind of task, on how many tasks the test score lies below the start's at all, and by
the paired test of the test rows; shares with exact (Clopper-Pearson) intervals. Results are kept
trial by trial: the same command goes on from there.

    python recipes/studies/noise.py --tasks 200 --budget 20s --json noise.json
"""

from __future__ import annotations

import argparse
import functools
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.evaluation.fixed import BASELINE
from marl_llm.evaluation.report import EvaluationReport, Result
from marl_llm.evaluation.run import Question, evaluate_trials
from marl_llm.evaluation.statistics import LEVEL, Estimate, clustered_mean
from marl_llm.evaluation.study import run_study
from marl_llm.evaluation.trials import Trial
from marl_llm.rollout.budget import Budget
from marl_llm.tasks.procedural.noisy import KINDS, noisy_kind, noisy_task
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import SCRIPTED, choose_team

logger = logging.getLogger(__name__)
ARMS = ("no_agents", "solve@scripted")
ALL = "all"
_LAYOUT = "{:<16} {:<14} {:>5} {:>6}  {:<27} {:<27} {:>8}"
_HEADER = _LAYOUT.format(
    "arm", "tasks", "n", "failed", "worse at all", "significantly worse", "gain"
)


@dataclass(frozen=True)
class Share:
    """`count` of `of` tasks, with the exact 95% interval of the share; no interval of nothing."""

    count: int
    of: int
    low: float | None
    high: float | None

    @classmethod
    def exact(cls, count: int, of: int) -> Share:
        """With the interval of Clopper and Pearson (1934)."""
        from scipy.stats import binomtest  # a quarter of a second, so not at import

        if not of:
            return cls(count, of, None, None)
        interval = binomtest(count, of).proportion_ci(LEVEL, method="exact")
        return cls(count, of, float(interval.low), float(interval.high))

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "none"
        return f"{self.count} = {self.count / self.of:.1%} [{self.low:.1%}, {self.high:.1%}]"


@dataclass(frozen=True)
class WorseRate:
    """One arm on one kind of task, or on all: `worse` counts test scores below the start's,
    `significant` those whose gain has a 95% interval below zero; `failed` tasks have no score and
    are left out.
    """

    arm: str
    kind: str
    failed: int
    worse: Share
    significant: Share
    gain: Estimate

    def line(self) -> str:
        """The row of the table."""
        gain = "" if self.gain.mean is None else f"{self.gain.mean:+.4f}"
        return _LAYOUT.format(
            self.arm,
            self.kind,
            self.worse.of,
            self.failed or "",
            str(self.worse),
            str(self.significant),
            gain,
        )


def noisy_trials(count: int, first_seed: int = 0) -> list[Trial]:
    """Trials of the noisy tasks with seeds from `first_seed` on."""
    seeds = range(first_seed, first_seed + count)
    return [
        Trial(f"n{seed}", f"noisy-{seed}", 0, functools.partial(noisy_task, seed)) for seed in seeds
    ]


def worse_rates(results: Sequence[Result]) -> list[WorseRate]:
    """Arm by arm: the rate on all tasks, then on each kind that occurs; results are of noisy tasks,
    by their names.
    """
    rates: list[WorseRate] = []
    for arm in dict.fromkeys(r.arm for r in results if r.arm != BASELINE):
        of_arm = [r for r in results if r.arm == arm]
        rates.append(_rate(arm, ALL, of_arm))
        parts = {kind: [r for r in of_arm if _kind_of(r) == kind] for kind in KINDS}
        rates += [_rate(arm, kind, part) for kind, part in parts.items() if part]
    return rates


def _kind_of(result: Result) -> str:
    return noisy_kind(int(result.task.rpartition("-")[2]))


def _rate(arm: str, kind: str, results: Sequence[Result]) -> WorseRate:
    scored = [r for r in results if r.gain is not None]
    n = len(scored)
    return WorseRate(
        arm=arm,
        kind=kind,
        failed=len(results) - n,
        worse=Share.exact(sum((r.gain or 0.0) < 0 for r in scored), n),
        significant=Share.exact(sum(r.worse for r in scored), n),
        gain=clustered_mean([r.gain or 0.0 for r in scored], [r.task for r in scored]),
    )


def noise(
    count: int,
    budget: Budget,
    out: Path,
    *,
    arms: Sequence[str] = ARMS,
    first_seed: int = 0,
    seed: int = 0,
) -> EvaluationReport:
    """Play the arms on noisy tasks; what was finished in `out` is kept.

    Raises
    ------
    UserError
        No task, or an unknown arm.
    RunFailed
        Something outside failed; finished trials are kept.
    """
    if count < 1:
        raise UserError(f"--tasks {count} leaves nothing to do: ask for at least 1.")
    return evaluate_trials(
        RunDirectory(out),
        choose_team(SCRIPTED).sections,
        Question(arms, seed=seed, play_budget=budget),
        noisy_trials(count, first_seed),
        name=f"noisy tasks {first_seed} to {first_seed + count - 1}",
        out=out,
        on_line=logger.info,
    )


def noise_text(rates: Sequence[WorseRate], report: EvaluationReport) -> str:
    """The table, with the tasks that could not be played at its foot."""
    feet = [f"left out: {problem.task}: {problem.error}" for problem in report.problems]
    return "\n".join([_HEADER, *(rate.line() for rate in rates), *feet])


def _to_dict(
    rates: Sequence[WorseRate], report: EvaluationReport, budget: Budget
) -> dict[str, Any]:
    return {
        "budget": str(budget),
        "rates": [asdict(rate) for rate in rates],
        "evaluation": report.to_dict(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: play, show progress, print the table."""
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/noise.py",
        description="How often a delivered model is worse than the start.",
    )
    parser.add_argument(
        "--tasks", type=int, default=200, help="number of noisy tasks (default: 200)"
    )
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first task")
    parser.add_argument(
        "--budget", default="20s", help="of each play: 20s, 1m, or '20s cpu' (default: 20s)"
    )
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=f"default: {' '.join(ARMS)}")
    parser.add_argument("--seed", type=int, default=0, help="of everything random in the plays")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/noise"),
        help="results; finished trials in it are kept",
    )
    parser.add_argument("--json", type=Path, help="write the rates and all results as JSON")
    options = parser.parse_args(arguments)

    def study() -> str:
        budget = Budget.parse(options.budget)
        report = noise(
            options.tasks,
            budget,
            options.out,
            arms=options.arms,
            first_seed=options.first_seed,
            seed=options.seed,
        )
        rates = worse_rates(report.results)
        if options.json:
            write_json(options.json, _to_dict(rates, report, budget))
        return noise_text(rates, report)

    return run_study(study)


if __name__ == "__main__":
    raise SystemExit(main())
