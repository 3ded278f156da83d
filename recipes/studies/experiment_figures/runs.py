"""What each training run of an experiment was: its size, the time it took, the adapters that were
not promoted, and how well PPO's critics foresaw. Read off the files of the runs; Markdown out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from experiment_figures.markdown import NONE, table
from marl_llm.pipeline.experiment.config import Experiment
from marl_llm.pipeline.experiment.jobs import ITERATION, read_units
from marl_llm.pipeline.experiment.layout import ExperimentDirectory

Run = dict[str, Any]


def read_runs(directory: ExperimentDirectory, experiment: Experiment) -> list[Run]:
    """Each training run.

    Returns
    -------
    list of dict
        arm, seed, iterations (done), refused ([iteration, trainee]), turns (model calls collected,
        by iteration), tokens (learned from in one pass, by iteration), critic (by role, its
        explained variance on the turns of each iteration before it learned from them; None for an
        iteration without) and, of the pieces of work that were timed, iteration_s and evaluation_s
        (seconds of each).
    """
    units = read_units(directory)
    runs: list[Run] = []
    for name, arm in experiment.arms.items():
        for seed in [] if arm.of else arm.seeds:
            run = directory.run(name, seed)
            metrics = [
                json.loads(run.metrics(k).read_text(encoding="utf-8"))
                for k in range(run.next_iteration())
            ]
            timed = [unit for unit in units if unit.get("job") == f"{name}.s{seed}"]
            runs.append(
                {
                    "arm": name,
                    "seed": seed,
                    "iterations": len(metrics),
                    "refused": [[k, who] for k, one in enumerate(metrics) for who in _refused(one)],
                    "turns": [one.get("collected", {}).get("rows", 0) for one in metrics],
                    "tokens": [
                        sum(role.get("tokens", 0) for role in _trained(one).values())
                        for one in metrics
                    ],
                    "critic": _critics(metrics),
                    "iteration_s": [unit["seconds"] for unit in timed if unit["kind"] == ITERATION],
                    "evaluation_s": [
                        unit["seconds"] for unit in timed if unit["kind"] != ITERATION
                    ],
                }
            )
    return runs


def runs_to_markdown(runs: Sequence[Run]) -> list[str]:
    """A table of sizes and times, the critics, and the adapters that stayed as they were."""
    header = [
        "run",
        "iterations",
        "model calls",
        "tokens learned from",
        "minutes",
        "evaluations, minutes",
        "hours",
    ]
    rows = [[_name(run), str(run["iterations"]), *_sizes(run)] for run in runs if run["iterations"]]
    lines = [
        "## Runs",
        "",
        "Calls, tokens (one pass) and minutes are means of an iteration.",
        "",
        *table(header, rows),
        "",
    ]
    for run in runs:
        lines += [
            f"- {_name(run)}: the {role}'s critic explained of the next iteration's returns, "
            "before it learned from them: "
            f"{', '.join(NONE if one is None else f'{one:.2f}' for one in shares)}"
            for role, shares in run["critic"].items()
        ]
    refused = [(run, k, who) for run in runs for k, who in run["refused"]]
    said = (f"- {_name(run)}, iteration {k}: {who} stays as it was" for run, k, who in refused)
    return [*lines, "", *(["## Adapters that were not promoted", "", *said, ""] if refused else [])]


def _sizes(run: Run) -> list[str]:
    played, evaluated = run["iteration_s"], run["evaluation_s"]
    return [
        f"{fmean(run['turns']):.0f}",
        f"{fmean(run['tokens']):.0f}",
        f"{fmean(played) / 60:.1f}" if played else NONE,
        f"{sum(evaluated) / 60:.1f}" if evaluated else NONE,
        f"{(sum(played) + sum(evaluated)) / 3600:.2f}" if played else NONE,
    ]


def _name(run: Run) -> str:
    return f"{run['arm']}, seed {run['seed']}"


def _trained(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return metrics.get("training", {})


def _critics(metrics: Sequence[dict[str, Any]]) -> dict[str, list[float | None]]:
    roles = sorted(
        {role for one in metrics for role, trained in _trained(one).items() if "critic" in trained}
    )
    found = {
        role: [_trained(one).get(role, {}).get("critic", {}) for one in metrics] for role in roles
    }
    return {
        role: [one.get("explained_variance_heldout") for one in critics]
        for role, critics in found.items()
    }


def _refused(metrics: dict[str, Any]) -> list[str]:
    promotion = metrics.get("promotion") or {}
    return sorted(
        trainee for trainee, promoted in promotion.get("promoted", {}).items() if not promoted
    )
