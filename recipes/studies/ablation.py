"""What each part of a play is worth: the same play delivered without the team, without a blend,
without a rule.

A play under a budget is scored as it is, and once more for each part that is left out of its
delivery: everything else, the rows and the fits are the same, so the differences say what that part
adds. In: a finished `evaluation.json` with an arm that plays as `solve` does. Out: mean differences
on the test part, intervals clustered by CSV.

    python recipes/studies/ablation.py runs/evaluation/evaluation.json --arm solve

What changes the play itself (screening, experience, training) is another arm or another team, not a
part of this.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.evaluation.parts import PARTS, PREFIX
from marl_llm.evaluation.report import Result, load_report
from marl_llm.evaluation.statistics import Estimate, clustered_mean
from marl_llm.evaluation.study import run_study


def differences(results: Sequence[Result]) -> dict[str, Estimate]:
    """By part, the test score of the play minus that without the part, clustered by task."""
    found: dict[str, Estimate] = {}
    for part in PARTS:
        known = [
            (r.test - without, r.task)
            for r in results
            if r.test is not None and (without := r.team.get(PREFIX + part)) is not None
        ]
        found[part] = clustered_mean([value for value, _ in known], [task for _, task in known])
    return found


def ablation_text(results: Sequence[Result]) -> str:
    """The table."""
    lines = [f"{'part':<8} {'adds to the test score':<30} tasks trials"]
    for part, found in differences(results).items():
        lines.append(f"{part:<8} {found.text('+.4f'):<30} {found.tasks:>5} {found.trials:>6}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: read a report, print the table."""
    parser = argparse.ArgumentParser(prog="python recipes/studies/ablation.py", description=__doc__)
    parser.add_argument("report", type=Path, help="an evaluation.json")
    parser.add_argument(
        "--arm", default="solve", help="of its arms, one that plays as solve does (default: solve)"
    )
    options = parser.parse_args(arguments)

    def study() -> str:
        results = [r for r in load_report(options.report).results if r.arm == options.arm]
        if not any(name.startswith(PREFIX) for r in results for name in r.team):
            raise UserError(
                f"{options.report} has no plays of a team by the name of {options.arm}: "
                "choose with --arm."
            )
        return ablation_text(results)

    return run_study(study)


if __name__ == "__main__":
    raise SystemExit(main())
