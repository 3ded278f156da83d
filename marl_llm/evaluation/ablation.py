"""What each part of a play is worth: the same play delivered without the team, without a blend, without a rule.

A play under a budget is scored as it is, and once more for each part that is left out of its delivery: everything else,
the rows and the fits are the same, so the differences say what that part adds. In: a finished `evaluation.json` with
an arm that plays as `solve` does. Out: mean differences on the test part, intervals clustered by CSV.

    python -m marl_llm.evaluation.ablation runs/evaluation/evaluation.json --arm solve

What changes the play itself (screening, experience, training) is another arm or another team, not a part of this.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from marl_llm.environment import State, TeamEnv
from marl_llm.environment.delivery import Evidence, choose_delivery
from marl_llm.errors import UserError
from marl_llm.evaluation.report import Result, load_report
from marl_llm.evaluation.statistics import Estimate, clustered_mean
from marl_llm.proposals import PipelineSpec

PREFIX = "test_without_"
PARTS = ("team", "blend", "rule")


def deliveries(env: TeamEnv, last: State, delivered: PipelineSpec) -> dict[str, PipelineSpec]:
    """What would have been delivered, by the part that is left out. Blocks.

    Without the team: of the start and the screened families alone. Without a blend: the best single solution, with its
    decision rule. Without a rule: the same blend, the most probable class.
    """
    tried, evidence, most = env.tried(last), Evidence(env.evaluator, "all"), env.config.blend_members
    families = [spec.normal() for spec in env.plain(looked=True)]
    of_families = [one for one in tried if one.spec.normal() in families]
    plain = delivered.model_copy(update={"power": 0.0})
    return {
        "team": choose_delivery(of_families, evidence, most),
        "blend": env.choose(last, 1),
        "rule": plain if len(plain.members) != 1 else plain.members[0],
    }


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
        interval = "" if found.low is None else f" [{found.low:+.4f}, {found.high:+.4f}]"
        shown = "none" if found.mean is None else f"{found.mean:+.4f}{interval}"
        lines.append(f"{part:<8} {shown:<30} {found.tasks:>5} {found.trials:>6}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: read a report, print the table."""
    parser = argparse.ArgumentParser(prog="python -m marl_llm.evaluation.ablation", description=__doc__)
    parser.add_argument("report", type=Path, help="an evaluation.json")
    parser.add_argument("--arm", default="solve", help="of its arms, one that plays as solve does (default: solve)")
    options = parser.parse_args(arguments)
    try:
        results = [r for r in load_report(options.report).results if r.arm == options.arm]
        if not any(name.startswith(PREFIX) for r in results for name in r.team):
            raise UserError(f"{options.report} has no plays of a team by the name of {options.arm}: choose with --arm.")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(ablation_text(results) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
