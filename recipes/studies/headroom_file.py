"""The file of a headroom search: what one step can gain on each trial, as it stands in the JSON,
and as text.

In: trials that `headroom.py` searched. Out: the file, a line a trial, means over tasks. Nothing is
run here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marl_llm.core.errors import UserError
from marl_llm.evaluation.statistics import clustered_mean
from marl_llm.evaluation.trials import Problem

DECIDES = ("cv_folds", "significance", "level", "resamples")
"""Keys of the environment that decide whether a gain is significant; those of an evaluation must be
the same.
"""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Part):
    """One proposal, tried from the baseline.

    Attributes
    ----------
    action, family : str
        Canonical text; propose_model, tune or engineer_features.
    gain, p_value : float
        On the hold-out over the baseline (skill), and its one-sided p-value.
    significant : bool
        By the recipe's test and level.
    test_gain : float or None
        On the test part, fitted on development and hold-out rows; None if that failed.
    """

    action: str
    family: str
    gain: float
    p_value: float
    significant: bool
    test_gain: float | None


class Headroom(_Part):
    """What one step can gain on one trial. Gains are in skill, over the baseline.

    Attributes
    ----------
    trial, task, repeat, kind
        As in `Result`, so that the two can be joined.
    baseline : float
        Test score of the baseline.
    proposals, failed, significant : int
        Proposals tried, those that did not run, those with a significant gain on the hold-out.
    best : Step or None
        Largest significant gain on the hold-out; None if there is no significant one.
    low, high : float or None
        95% interval of the best one's test gain (paired bootstrap of the test rows).
    oracle : Step or None
        Largest gain on the test part, whatever the hold-out says.
    leading : list of Step
        Largest gains on the hold-out, significant or not.
    fits : int
        Folds fitted in this search; those that the cache already knew are not among them.
    seconds : float
        Wall time of this search.
    """

    trial: str
    task: str
    repeat: int
    kind: str
    rows: int
    columns: int
    baseline: float
    proposals: int
    failed: int
    significant: int
    best: Step | None = None
    low: float | None = None
    high: float | None = None
    oracle: Step | None = None
    leading: list[Step] = Field(default_factory=list)
    fits: int = 0
    seconds: float = 0.0

    @property
    def headroom(self) -> bool:
        """True if there is a significant one-step gain."""
        return self.best is not None

    @property
    def confirmed(self) -> bool:
        """True if the best step's test gain is above zero as well, by its own 95% interval."""
        return self.low is not None and self.low > 0

    @property
    def best_gain(self) -> float:
        """Test gain of the best significant step; 0 without one: then the right move is to
        finish.
        """
        return 0.0 if self.best is None or self.best.test_gain is None else self.best.test_gain


class HeadroomFile(_Part):
    """The file of a search: what the trials depend on, those that are done, and tasks that take no
    part.
    """

    settings: dict[str, Any]
    fingerprint: str
    trials: list[Headroom] = Field(default_factory=list)
    problems: list[Problem] = Field(default_factory=list)


def load_headroom(path: Path) -> HeadroomFile:
    """Read the file of a search.

    Raises
    ------
    UserError
        There is none, or it is something else.
    """
    try:
        return HeadroomFile.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no headroom search here; `python recipes/studies/headroom.py` "
            "makes one."
        ) from None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"{path} is no file of a headroom search ({reason}); delete it and search again."
        ) from None


def line(one: Headroom) -> str:
    """A finished trial as one line."""
    chosen = "no significant gain"
    if one.best is not None:
        chosen = f"{one.best.action} {one.best.gain:+.3f} (test {one.best_gain:+.3f})"
    oracle = "" if one.oracle is None else f", oracle {one.oracle.test_gain or 0.0:+.3f}"
    return (
        f"{one.trial}: {one.proposals} proposals, {one.failed} failed, {one.significant} "
        f"significant, {chosen}{oracle}, {one.fits} fits, {one.seconds:.0f} s"
    )


def summary(file: HeadroomFile) -> str:
    """All trials as text: means over tasks."""
    trials, tasks = file.trials, [one.task for one in file.trials]
    if not trials:
        return "no task was searched"
    means = {
        "with a significant one-step gain": [float(one.headroom) for one in trials],
        "  confirmed on the test part": [float(one.confirmed) for one in trials],
        "best step's gain on the hold-out": [
            0.0 if one.best is None else one.best.gain for one in trials
        ],
        "best step's gain on the test part": [one.best_gain for one in trials],
        "oracle gain on the test part": [_oracle(one) for one in trials],
        "proposals a trial": [float(one.proposals) for one in trials],
        "seconds a trial": [one.seconds for one in trials],
    }
    lines = [f"{len(set(tasks))} tasks, {len(trials)} trials; mean [95% interval over tasks]"]
    for name, values in means.items():
        e = clustered_mean(values, tasks)
        ends = "" if e.low is None or e.high is None else f" [{e.low:.3f}, {e.high:.3f}]"
        lines.append(f"{name:<36}{e.mean:.3f}{ends}")
    return "\n".join([*lines, *(f"{p.task} is left out: {p.error}" for p in file.problems)])


def _oracle(one: Headroom) -> float:
    return 0.0 if one.oracle is None or one.oracle.test_gain is None else one.oracle.test_gain
