"""The targets of the experiment, and whether the main arm meets them. Pure: figures in, verdicts
out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from experiment_figures.figures import Figures
from marl_llm.evaluation.statistics import Estimate

Verdict = Literal["met", "missed", "too few tasks", "not measured", "unfinished"]
"""Too few tasks: measured, but without the interval that is asked for. Unfinished: seeds or
iterations are missing.
"""


@dataclass(frozen=True)
class Goal:
    """One target.

    Attributes
    ----------
    name : str
    pick : callable
        The estimate it is about; None where it was not measured.
    bound : float
    above : bool
        True: at least the bound; False: at most.
    share : bool
        Written in percent.
    whole : bool
        The whole interval must lie beyond the bound (and may not touch it), not only the mean.
    """

    name: str
    pick: Callable[[Figures], Estimate | None]
    bound: float
    above: bool
    share: bool = True
    whole: bool = False


GOALS = (
    Goal(
        "test score above the untrained pair's",
        lambda f: f.over_untrained,
        0.0,
        True,
        share=False,
        whole=True,
    ),
    Goal(
        "that difference, relative to the untrained pair's score",
        lambda f: f.relative_score,
        0.12,
        True,
    ),
    Goal(
        "that difference, relative to the untrained pair's gain",
        lambda f: f.relative_gain,
        0.12,
        True,
    ),
    Goal("trials made worse than the baseline", lambda f: f.worse, 0.0, False),
    Goal("failed code", lambda f: f.team.get("failed_code"), 0.05, False),
    Goal("compliance", lambda f: f.team.get("compliance"), 0.95, True),
    Goal(
        "tokens of an episode, change from the untrained pair",
        lambda f: f.tokens_change,
        -0.30,
        False,
    ),
    Goal(
        "steps without headroom minus steps with (a significant step exists)",
        lambda f: f.splits["headroom"].steps_difference if f.splits else None,
        0.0,
        False,
        share=False,
        whole=True,
    ),
    Goal(
        "steps without headroom minus steps with (confirmed on the test part)",
        lambda f: f.splits["confirmed"].steps_difference if f.splits else None,
        0.0,
        False,
        share=False,
        whole=True,
    ),
)


class Target(BaseModel):
    """A target and what became of it.

    Attributes
    ----------
    name, wanted : str
    estimate : Estimate or None
    verdict : Verdict
    missed_by : float or None
        Distance of the mean (of the nearer end of the interval where the whole of it is asked for)
        to the bound.
    share : bool
        Written in percent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    wanted: str
    estimate: Estimate | None
    verdict: Verdict
    missed_by: float | None
    share: bool


def targets(figures: Figures, *, complete: bool = True) -> list[Target]:
    """Every goal held against the figures of one arm; without a verdict unless all its seeds are
    `complete`.
    """
    found = [_held(goal, figures) for goal in GOALS]
    if complete:
        return found
    return [one.model_copy(update={"verdict": "unfinished", "missed_by": None}) for one in found]


def _held(goal: Goal, figures: Figures) -> Target:
    estimate = goal.pick(figures)
    about = {"name": goal.name, "wanted": _wanted(goal), "estimate": estimate, "share": goal.share}
    if estimate is None or estimate.mean is None:
        return Target(**about, verdict="not measured", missed_by=None)
    nearer = estimate.low if goal.above else estimate.high
    value = nearer if goal.whole else estimate.mean
    if value is None:
        return Target(**about, verdict="too few tasks", missed_by=None)
    short = goal.bound - value if goal.above else value - goal.bound
    met = short < 0 if goal.whole else short <= 0
    return Target(**about, verdict="met" if met else "missed", missed_by=None if met else short)


def _wanted(goal: Goal) -> str:
    bound = f"{goal.bound:.0%}" if goal.share else f"{goal.bound:g}"
    if goal.whole:
        return f"interval {'above' if goal.above else 'below'} {bound}"
    return f"{'at least' if goal.above else 'at most'} {bound}"
