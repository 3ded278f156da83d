"""What early stopping of folds saves and what it costs: fits left out, decisions changed, on unseen
procedural tasks.

`python recipes/studies/early_stopping.py --tasks 32` lets the scripted Data Scientist walk its own
accepted path on each task. Every candidate is evaluated twice, with early stopping and then to the
end, so that each decision meets the one that all folds give; the path follows the latter. Intervals
of shares resample whole tasks; that of changed decisions is Clopper and Pearson's, candidates taken
as independent.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from marl_llm.agents.scripted import ScriptedDataScientist
from marl_llm.environment import EnvironmentConfig, Implementation, State, Suggestion, TeamEnv
from marl_llm.evaluation.statistics import Estimate, bootstrap_ratio
from marl_llm.proposals import canonical, generate_code
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from marl_llm.tasks.procedural import procedural_task

FIRST_SEED = 300_000
"""Far from the seeds of training and evaluation."""
_DRAWS = 40  # actions drawn at most to find the next candidate


@dataclass(frozen=True)
class Setting:
    """A test of gains and how early stopping treats it."""

    significance: Literal["paired_bootstrap", "corrected_resampled_t"]
    folds: int
    error: float

    def config(self, cache: Path) -> EnvironmentConfig:
        """Early stopping switched on, with folds shared between settings through a cache."""
        return EnvironmentConfig(
            cv_folds=self.folds,
            significance=self.significance,
            early_stop=True,
            early_stop_error=self.error,
            cache=str(cache),
        )

    @property
    def name(self) -> str:
        """For the table."""
        stopping = f", error {self.error:g}" if self.significance == "corrected_resampled_t" else ""
        return f"{self.significance}, {self.folds} folds{stopping}"


SETTINGS = (
    Setting("paired_bootstrap", 3, 0.0),
    *(
        Setting("corrected_resampled_t", folds, error)
        for folds in (3, 5, 10)
        for error in (0.0, 0.02)
    ),
)


@dataclass(frozen=True)
class Decided:
    """One candidate: folds fitted and seconds they took with stopping and without, and both
    decisions.
    """

    task: str
    fits: int
    all_fits: int
    seconds: float
    all_seconds: float
    gain: bool
    full_gain: bool


@dataclass(frozen=True)
class Summary:
    """All candidates of a setting: shares saved, and decisions that differ of all and of those that
    were gains.
    """

    setting: Setting
    candidates: int
    gains: int
    changed: int
    false_gains: int
    fits_saved: Estimate
    seconds_saved: Estimate
    changed_low: float
    changed_high: float


def walk(
    task: Task, sandbox: Sandbox, config: EnvironmentConfig, proposals: int, seed: int
) -> Iterator[Decided]:
    """The scripted Data Scientist's candidates on one task, along the path that the full
    evaluations accept.
    """
    scientist = ScriptedDataScientist(seed, may_finish=False)
    with closing(TeamEnv(task, sandbox, config, seed)) as env:
        state = env.reset()
        for _ in range(proposals):
            suggestions = (_suggest(env, state, scientist) for _ in range(_DRAWS))
            suggestion = next((one for one in suggestions if one.to_implement), None)
            if suggestion is None or suggestion.spec is None:
                return
            code = generate_code(suggestion.spec)
            early, full = env.run(code, state.evaluated), env.run(code)
            if full.ok:
                gains = [env.compare(state.evaluated, one) for one in (early, full)]
                early_gain, full_gain = (one is not None and one.significant for one in gains)
                fits = early.stopped_after or config.cv_folds + 1
                yield Decided(
                    task.name,
                    fits,
                    config.cv_folds + 1,
                    early.seconds,
                    full.seconds,
                    early_gain,
                    full_gain,
                )
            state = env.advance(state, env.judge(state, suggestion, Implementation(code, full)))


def _suggest(env: TeamEnv, state: State, scientist: ScriptedDataScientist) -> Suggestion:
    return env.read(state, canonical(scientist.act(env.card, state.spec, may_analyze=False)))


def summarise(setting: Setting, decided: Sequence[Decided]) -> Summary:
    """Shares over all candidates of a setting."""
    tasks = [one.task for one in decided]
    changed = sum(one.gain != one.full_gain for one in decided)
    low, high = clopper_pearson(changed, len(decided))
    return Summary(
        setting=setting,
        candidates=len(decided),
        gains=sum(one.full_gain for one in decided),
        changed=changed,
        false_gains=sum(one.gain and not one.full_gain for one in decided),
        fits_saved=bootstrap_ratio(
            [o.all_fits - o.fits for o in decided], [o.all_fits for o in decided], tasks
        ),
        seconds_saved=bootstrap_ratio(
            [one.all_seconds - one.seconds for one in decided],
            [one.all_seconds for one in decided],
            tasks,
        ),
        changed_low=low,
        changed_high=high,
    )


def clopper_pearson(events: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934, Biometrika 26)."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if events == 0 else float(betaincinv(events, trials - events + 1, tail))
    high = 1.0 if events == trials else float(betaincinv(events + 1, trials - events, 1 - tail))
    return low, high


def table(summaries: Sequence[Summary]) -> str:
    """The result as text."""
    head = (
        f"{'test of gains':<46}{'candidates':>11}{'gains':>7}  "
        f"{'fits saved':<24}{'time saved':<24}decisions changed"
    )
    return "\n".join([head, *map(_line, summaries)])


def _line(one: Summary) -> str:
    changed = (
        f"{one.changed} = {one.changed / max(1, one.candidates):.1%} [{one.changed_low:.1%}, "
        f"{one.changed_high:.1%}]"
    )
    return (
        f"{one.setting.name:<46}{one.candidates:>11}{one.gains:>7}  {_share(one.fits_saved):<24}"
        f"{_share(one.seconds_saved):<24}{changed}, gains added: {one.false_gains}"
    )


def _share(estimate: Estimate) -> str:
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return "-" if estimate.mean is None else f"{estimate.mean:.1%}"
    return f"{estimate.mean:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def report(tasks: int, proposals: int, first_seed: int = FIRST_SEED) -> Iterator[Summary]:
    """Every setting on the same tasks, one after another; equal folds are fitted once."""
    with tempfile.TemporaryDirectory() as folder, Sandbox(slots=1) as sandbox:
        for setting in SETTINGS:
            config = setting.config(Path(folder) / "evaluations.sqlite")
            decided: list[Decided] = []
            for seed in range(first_seed, first_seed + tasks):
                decided += walk(procedural_task(seed), sandbox, config, proposals, seed)
            yield summarise(setting, decided)


def main(arguments: list[str] | None = None) -> int:
    """Command line: print the table."""
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/early_stopping.py",
        description="What early stopping saves and changes.",
    )
    parser.add_argument("--tasks", type=int, default=32, help="number of procedural tasks")
    parser.add_argument("--proposals", type=int, default=8, help="candidates on each of them")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    options = parser.parse_args(arguments)
    sys.stdout.write(
        table(list(report(options.tasks, options.proposals, options.first_seed))) + "\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
