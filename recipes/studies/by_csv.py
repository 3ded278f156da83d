"""All arms of a comparison held against one of them, CSV by CSV: a table, and a picture.

    python recipes/studies/by_csv.py OUT/evaluation.json --against no_agents --plot arms.png

In: a finished `evaluation.json`. Out: mean test scores of the splits of each CSV, and differences
on the same rows with intervals clustered by CSV. Drawing needs matplotlib (extra `dev`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marl_llm.core.errors import UserError
from marl_llm.evaluation.report import EvaluationReport, load_report
from marl_llm.evaluation.statistics import Estimate, clustered_mean
from marl_llm.evaluation.study import run_study


@dataclass(frozen=True)
class Held:
    """One arm: mean test score and its difference to the arm it is held against, by CSV and over
    all CSVs.
    """

    arm: str
    scores: dict[str, float]
    by_csv: dict[str, float]
    difference: Estimate
    cpu_s: float | None


def held_against(report: EvaluationReport, against: str) -> list[Held]:
    """Every arm on the trials that both have a score of, the best first.

    Raises
    ------
    UserError
        There is no such arm, or it has no score.
    """
    scores = {(r.arm, r.trial): (r.task, r.test) for r in report.results if r.test is not None}
    names = list(dict.fromkeys(arm for arm, _ in scores))
    if against not in names:
        raise UserError(
            f"No arm {against} with a score: choose with --against from "
            f"{', '.join(names) or 'none'}."
        )
    found = []
    for arm in names:
        own = {trial: (task, test) for (name, trial), (task, test) in scores.items() if name == arm}
        pairs = [
            (task, test - scores[against, trial][1])
            for trial, (task, test) in own.items()
            if (against, trial) in scores
        ]
        cost = [r.cpu_s for r in report.results if r.arm == arm and r.cpu_s is not None]
        difference = clustered_mean([value for _, value in pairs], [task for task, _ in pairs])
        found.append(
            Held(
                arm,
                _means(own.values()),
                _means(pairs),
                difference,
                float(np.mean(cost)) if cost else None,
            )
        )
    return sorted(found, key=lambda one: one.difference.mean or 0.0, reverse=True)


def _means(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    by_task: dict[str, list[float]] = {}
    for task, value in pairs:
        by_task.setdefault(task, []).append(value)
    return {task: float(np.mean(values)) for task, values in sorted(by_task.items())}


def table(arms: Sequence[Held]) -> str:
    """Markdown: a row for each CSV, a column for each arm, then the mean and the difference with
    its interval.
    """
    tasks = sorted({task for one in arms for task in one.scores})
    rows = [["CSV", *(one.arm for one in arms)], ["---", *("---:" for _ in arms)]]
    rows += [
        [task, *(f"{one.scores[task]:.3f}" if task in one.scores else "-" for one in arms)]
        for task in tasks
    ]
    rows += [["mean", *(f"{np.mean(list(one.scores.values())):.4f}" for one in arms)]]
    rows += [["difference", *(one.difference.text("+.4f") for one in arms)]]
    rows += [["CPU s", *("-" if one.cpu_s is None else f"{one.cpu_s:.1f}" for one in arms)]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def draw(arms: Sequence[Held], against: str, path: Path) -> None:
    """One line an arm: its difference with the interval, a grey dot for each CSV.

    Raises
    ------
    UserError
        matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise UserError("A picture needs matplotlib: pip install matplotlib.") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [one for one in arms if one.difference.mean is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(shown) + 1.2), layout="constrained")
    for y, one in enumerate(shown):
        mean = one.difference.mean or 0.0
        axes.plot(
            list(one.by_csv.values()),
            [y] * len(one.by_csv),
            "o",
            color="0.75",
            markersize=4,
            zorder=1,
        )
        if (
            one.difference.low is not None
            and one.difference.high is not None
            and one.arm != against
        ):
            axes.plot(
                [one.difference.low, one.difference.high],
                [y, y],
                color="C0",
                linewidth=2.5,
                zorder=2,
            )
        axes.plot(
            [mean], [y], "o", color="C3" if one.arm == against else "C0", markersize=7, zorder=3
        )
    axes.axvline(0, color="0.4", linewidth=0.8, zorder=0)
    labels = [f"{one.arm}, {np.mean(list(one.scores.values())):.3f}" for one in shown]
    axes.set_yticks(range(len(shown)), labels)
    axes.set_xlabel(f"mean score on the test part, minus {against} (95% over CSVs; grey: each CSV)")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: read a report, print the table, draw the picture."""
    parser = argparse.ArgumentParser(prog="python recipes/studies/by_csv.py", description=__doc__)
    parser.add_argument("report", type=Path, help="an evaluation.json")
    parser.add_argument(
        "--against",
        default="no_agents",
        help="arm the others are held against (default: no_agents)",
    )
    parser.add_argument("--plot", type=Path, help="also draw it: a .png")
    options = parser.parse_args(arguments)

    def study() -> str:
        arms = held_against(load_report(options.report), options.against)
        if options.plot:
            draw(arms, options.against, options.plot)
        return table(arms)

    return run_study(study)


if __name__ == "__main__":
    raise SystemExit(main())
