"""What `solve` found: one frozen record, written as report.json and returned to the caller."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypedDict

from pydantic import JsonValue

from marl_llm.environment import Evaluated
from marl_llm.metrics import Scores

PARTS = ("cv", "holdout", "test")


class PartScores(TypedDict):
    """Scores of one part: metrics in their own units, and their weighted skill."""

    raw: dict[str, float]
    score: float


class Family(TypedDict):
    """A family of models at its defaults, as the screening found it; `why` it has no score, ""
    if it has.
    """

    model: str
    score: float | None
    spread: float | None
    seconds: float
    why: str


@dataclass(frozen=True)
class SolveReport:
    """The outcome of improving a model on one CSV.

    Attributes
    ----------
    status : str
        "done", or "interrupted" where it ended before all steps; what was found until then is
        delivered.
    csv, csv_sha256, target, kind, metrics, team, seed
        What was asked.
    steps, accepted : int
        Proposals played, and those that became the current model.
    stopped, budget : str
        Why the play ended, and what it was given.
    remark : str
        Why the baseline is delivered, "" where something else is.
    screened : list of Family
        Best first.
    baseline, final : dict
        By part ("cv": pooled out-of-fold rows of the development part, "holdout", "test"), or None.
        The test part is read once, at the end, and not after an interruption.
    gain : dict of part to float or None
        Score of the final model less that of the baseline.
    code, spec : str, dict
        The delivered `build_pipeline()`, and the same in typed form.
    notes : list of str
        What the loader detected and left out.
    warnings : list of str
        What the screening of the data warns of.
    isolation : str
        Level of the sandbox that ran every candidate.
    tokens : dict of role to {"prompt", "completion"}
        Tokens of all calls; 0 for the scripted team.
    seconds, cpu_seconds : float
        Wall and processor time of the whole command.
    packages : dict
        Versions.
    """

    status: str
    csv: str
    csv_sha256: str
    target: str
    kind: str
    metrics: dict[str, float]
    team: str
    seed: int
    steps: int
    accepted: int
    stopped: str
    budget: str
    remark: str
    screened: list[Family]
    baseline: dict[str, PartScores | None]
    final: dict[str, PartScores | None]
    gain: dict[str, float | None]
    code: str
    spec: dict[str, JsonValue]
    notes: list[str]
    warnings: list[str]
    isolation: str
    tokens: dict[str, dict[str, int]]
    seconds: float
    cpu_seconds: float
    packages: dict[str, str]

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)


def scores_dict(scores: Scores | None) -> PartScores | None:
    """Scores as JSON holds them, None of None."""
    return None if scores is None else {"raw": dict(scores.raw), "score": scores.score}


def part_scores(evaluated: Evaluated, test: Scores | None) -> dict[str, Scores | None]:
    """Scores by part."""
    return dict(zip(PARTS, (evaluated.cv, evaluated.holdout, test), strict=True))


def gains(
    before: dict[str, Scores | None], after: dict[str, Scores | None]
) -> dict[str, float | None]:
    """Difference of the scores of each part, None where one is missing."""
    pairs = {part: (before[part], after[part]) for part in PARTS}
    return {
        part: b.score - a.score if a is not None and b is not None else None
        for part, (a, b) in pairs.items()
    }
