"""Results of a comparison and what they come to: typed, as they stand in `evaluation.json`. Nothing
is run here.

In: one `Result` an arm and trial. Out: an `EvaluationReport` with a summary of every arm, the
differences between arms, and all arms against one CSV by CSV where that was asked for. All means
weigh tasks equally; see `statistics.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from marl_llm.core.errors import UserError
from marl_llm.evaluation.arms import Arm
from marl_llm.evaluation.fixed import BASELINE
from marl_llm.evaluation.pairs import Pair, Scores, over_splits, pair
from marl_llm.evaluation.statistics import (
    Estimate,
    clustered_mean,
    paired_difference,
    relative_gain,
)
from marl_llm.evaluation.trials import Problem

REPORT_FILE = "evaluation.json"
NOTHING = Estimate(None, None, None, 0, 0)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Result(_Part):
    """One arm on one trial. Scores are skills, perfect = 1; None where there are none, and then
    `error` says why.

    Attributes
    ----------
    arm, trial, task, repeat, kind
        Which trial; `kind` of the target.
    holdout, holdout_gain : float or None
        Score on the hold-out, and over the baseline's.
    test, gain, low, high : float or None
        Score on the test part, its gain over the baseline's, and that gain's 95% interval (paired
        bootstrap of the test rows).
    raw : dict
        Raw metrics on the test part, as scikit-learn's scorers give them.
    team : dict
        Figures of the episode, by name; empty without a team. None where there is nothing to count
        (no code was written).
    cpu_s, wall_s : float or None
        What the arm took, seconds: see `costs.py`. None where an older version made it.
    budget_s : float or None
        CPU seconds that FLAML was given.
    """

    arm: str
    trial: str
    task: str
    repeat: int
    kind: str
    holdout: float | None = None
    holdout_gain: float | None = None
    test: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    raw: dict[str, float] = Field(default_factory=dict)
    team: dict[str, float | None] = Field(default_factory=dict)
    cpu_s: float | None = None
    wall_s: float | None = None
    budget_s: float | None = None
    error: str = ""

    @property
    def improved(self) -> bool:
        """True if the test gain's interval lies above zero."""
        return self.low is not None and self.low > 0

    @property
    def worse(self) -> bool:
        """True if the test gain's interval lies below zero."""
        return self.high is not None and self.high < 0


class ArmSummary(_Part):
    """One arm over all tasks: estimates of what `Result` holds.

    `relative` is the share of `1 - baseline` that was gained; `improved` and `worse` are shares of
    trials whose own test gain differs from zero; `failed` counts trials without a score.
    `worse_tasks` are the tasks that the arm makes significantly worse than the baseline: see
    `worse_tasks`. `cpu_s` and `wall_s` are seconds per trial.
    """

    arm: str
    what: str
    failed: int
    test: Estimate
    gain: Estimate
    relative: Estimate
    improved: Estimate
    worse: Estimate
    holdout_gain: Estimate
    team: dict[str, Estimate]
    cpu_s: Estimate = NOTHING
    wall_s: Estimate = NOTHING
    worse_tasks: list[str] = Field(default_factory=list)


class Difference(_Part):
    """Test score of one arm minus that of another, over the trials both have."""

    arm: str
    against: str
    estimate: Estimate


class EvaluationReport(_Part):
    """A finished comparison, as `evaluation.json` holds it."""

    name: str
    level: float
    repeats: int
    seed: int
    tasks: int
    settings: dict[str, Any]
    arms: list[ArmSummary]
    differences: list[Difference]
    against: list[Pair] = Field(default_factory=list)
    results: list[Result]
    problems: list[Problem]
    created_at: str

    def to_dict(self) -> dict[str, JsonValue]:
        """Plain data for JSON."""
        return self.model_dump(mode="json")


def summarise_arm(name: str, what: str, results: Sequence[Result], seed: int = 0) -> ArmSummary:
    """Estimates of one arm from its results."""
    scored = [r for r in results if r.test is not None]

    def estimate(
        value: Callable[[Result], float | None], of: Iterable[Result] = scored
    ) -> Estimate:
        known = [(v, r.task) for r in of if (v := value(r)) is not None]
        return clustered_mean([v for v, _ in known], [task for _, task in known])

    starts = [(r.test or 0.0) - (r.gain or 0.0) for r in scored]
    return ArmSummary(
        arm=name,
        what=what,
        failed=len(results) - len(scored),
        test=estimate(lambda r: r.test),
        gain=estimate(lambda r: r.gain),
        relative=relative_gain(
            [r.test or 0.0 for r in scored], starts, [r.task for r in scored], seed=seed
        ),
        improved=estimate(lambda r: float(r.improved)),
        worse=estimate(lambda r: float(r.worse)),
        holdout_gain=estimate(lambda r: r.holdout_gain, results),
        team={
            key: estimate(lambda r, key=key: r.team.get(key), results)
            for key in _team_keys(results)
        },
        cpu_s=estimate(lambda r: r.cpu_s),
        wall_s=estimate(lambda r: r.wall_s),
        worse_tasks=worse_tasks(scored),
    )


def worse_tasks(results: Sequence[Result]) -> list[str]:
    """Tasks on which one arm is significantly worse than the baseline, from its results with a
    score.

    The interval over the splits lies below zero, or in most splits that of the test rows does: a
    few splits alone find little (five losses of 0.025 with a standard deviation of 0.011 are not
    enough).
    """
    found: list[str] = []
    for task in dict.fromkeys(r.task for r in results):
        splits = [r for r in results if r.task == task]
        high = over_splits([r.gain or 0.0 for r in splits]).high
        if (high is not None and high < 0) or 2 * sum(r.worse for r in splits) > len(splits):
            found.append(task)
    return found


def summarise_arms(arms: Sequence[Arm], results: Sequence[Result], seed: int) -> list[ArmSummary]:
    """A summary an arm, in the arms' order."""
    return [
        summarise_arm(arm.name, arm.what, [r for r in results if r.arm == arm.name], seed)
        for arm in arms
    ]


def differences(arms: Sequence[Arm], results: Sequence[Result]) -> list[Difference]:
    """Every two arms, trained ones first; the baseline aside, against which gains stand in the
    summaries.
    """
    scores = {arm.name: scores_of(arm.name, results) for arm in arms}
    names = [arm.name for arm in arms if arm.name != BASELINE]
    found: list[Difference] = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            high, low = (second, first) if second.startswith("trained") else (first, second)
            found.append(
                Difference(
                    arm=high, against=low, estimate=paired_difference(scores[high], scores[low])
                )
            )
    return found


def pairs_against(arm: str, arms: Sequence[Arm], results: Sequence[Result]) -> list[Pair]:
    """All other arms minus `arm`, overall and task by task."""
    second = scores_of(arm, results)
    return [
        pair(other.name, arm, scores_of(other.name, results), second)
        for other in arms
        if other.name != arm
    ]


def scores_of(arm: str, results: Sequence[Result]) -> Scores:
    """Test scores of an arm by task and repetition."""
    return {(r.task, r.repeat): r.test for r in results if r.arm == arm and r.test is not None}


def load_report(path: Path) -> EvaluationReport:
    """Read `evaluation.json`, or the one in a directory.

    Raises
    ------
    UserError
        There is none, or it is no report of this version.
    """
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        return EvaluationReport.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{file}: there is no evaluation here; make one with `marl-llm evaluate`."
        ) from None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"{file} is no evaluation report ({reason}); delete it and run `marl-llm "
            "evaluate` again."
        ) from None


def _team_keys(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(key for r in results for key in r.team))
