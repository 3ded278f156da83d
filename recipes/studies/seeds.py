"""One arm trained with several seeds, played on the same tasks, held against arms that have none.

    python recipes/studies/seeds.py OUT/seed0 OUT/seed1 OUT/seed2 --against untrained no_agents
    python recipes/studies/seeds.py OUT/one_way --against OUT/other_way:trained

In: the directories of finished `marl-llm evaluate` runs on the same tasks; the arms held against
may lie in any of them, or in another one that is named. Out: the gain over the start of every seed
and of all, and differences on the test part, with intervals clustered by task, so that seeds add no
tasks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.evaluation.report import EvaluationReport, load_report
from marl_llm.evaluation.statistics import Estimate, clustered_mean
from marl_llm.evaluation.study import run_study

Scores = dict[str, tuple[str, float]]
"""Task and test score by trial."""


@dataclass(frozen=True)
class Line:
    """A difference between test scores, over the tasks that both have."""

    what: str
    difference: Estimate


def scores(report: EvaluationReport, arm: str) -> Scores:
    """The test scores of one arm; those of a trial without one are left out."""
    return {
        r.trial: (r.task, r.test) for r in report.results if r.arm == arm and r.test is not None
    }


def lines(
    reports: Sequence[EvaluationReport], arm: str, against: Sequence[str], start: str = "baseline"
) -> list[Line]:
    """The seeds' own gains, then those of all together over the start and each arm (`NAME`, or
    `DIRECTORY:NAME`).

    Raises
    ------
    UserError
        A seed has no such arm, or no seed has an arm held against.
    """
    mine = [scores(report, arm) for report in reports]
    for number, found in enumerate(mine):
        if not found:
            raise UserError(
                f"The evaluation in place {number + 1} has no score of an arm {arm}: name "
                "another --arm."
            )
    others = {name: _anywhere(reports, name) for name in (start, *against)}
    each = [
        Line(f"seed {number}, gain", _difference([own], others[start]))
        for number, own in enumerate(mine)
    ]
    return each + [
        Line(f"all, minus {name}", _difference(mine, theirs)) for name, theirs in others.items()
    ]


def _anywhere(reports: Sequence[EvaluationReport], arm: str) -> Scores:
    directory, _, arm = arm.rpartition(":")
    reports = [load_report(Path(directory))] if directory else reports
    found = next((held for report in reports if (held := scores(report, arm))), None)
    if found is None:
        raise UserError(f"No evaluation has a score of the arm {arm}: name others with --against.")
    return found


def _difference(mine: Sequence[Scores], theirs: Scores) -> Estimate:
    pairs = [
        (task, test - theirs[trial][1])
        for own in mine
        for trial, (task, test) in own.items()
        if trial in theirs
    ]
    return clustered_mean([value for _, value in pairs], [task for task, _ in pairs])


def text(found: Sequence[Line]) -> str:
    """One line a difference."""
    return "\n".join(
        f"{line.what:<24} {_number(line.difference.mean)} [{_number(line.difference.low)}, "
        f"{_number(line.difference.high)}]  {line.difference.tasks} tasks, "
        f"{line.difference.trials} trials"
        for line in found
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "evaluations", type=Path, nargs="+", help="directories of finished evaluations, one a seed"
    )
    parser.add_argument("--arm", default="trained")
    parser.add_argument("--against", nargs="+", default=["untrained"])
    args = parser.parse_args()

    def study() -> str:
        reports = [load_report(directory) for directory in args.evaluations]
        return text(lines(reports, args.arm, args.against))

    return run_study(study)


if __name__ == "__main__":
    raise SystemExit(main())
