"""`python recipes/studies/learning_curve.py RUN OUT`: the learning curve of a run as a picture, and
the JSON behind it.

Needs matplotlib (extra `dev`). Every evaluated version is drawn, with its 95% interval over tasks:
those that the run evaluated itself (`evaluation.every`), or with `--evaluation DIR` those of a
finished `marl-llm evaluate --run RUN --arms trained@0,trained@1,... --out DIR`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.evaluation.report import ArmSummary, load_report
from marl_llm.evaluation.study import run_study
from marl_llm.rollout.figures import FIGURES, View, nested, pick, shown
from marl_llm.workspace.run import RunDirectory


def own_points(run: RunDirectory) -> dict[int, dict[str, Any]]:
    """Figures by version, of the versions that the run evaluated itself."""
    points = {}
    for path in sorted((run.root / "evaluation" / "procedural").glob("v*/metrics.json")):
        points[int(path.parent.name[1:])] = json.loads(path.read_text())
    if not points:
        raise UserError(
            f"{run.root}: nothing was evaluated yet; run `marl-llm iterate --run {run.root}`, or "
            "name a finished comparison with --evaluation."
        )
    return points


def compared_points(directory: Path) -> dict[int, dict[str, Any]]:
    """Figures by version, of the arms `trained@VERSION` of a finished comparison."""
    arms = {arm.arm.partition("@"): arm for arm in load_report(directory).arms}
    points = {
        int(version): _point(arm)
        for (name, _, version), arm in arms.items()
        if name == "trained" and version
    }
    if not points:
        raise UserError(
            f"{directory}: no version was compared; name them with --arms trained@0,trained@1."
        )
    return dict(sorted(points.items()))


def _point(arm: ArmSummary) -> dict[str, Any]:
    scores = {"gain": arm.holdout_gain, "test_gain": arm.gain}
    known = {f.key: scores.get(f.key) or arm.team.get(f.name) for f in FIGURES}
    found = {key: estimate for key, estimate in known.items() if estimate is not None}
    means = nested({key: estimate.mean for key, estimate in found.items()})
    intervals = {
        key: None if one.low is None else (one.low, one.high) for key, one in found.items()
    }
    return {"episodes": arm.gain.trials, **means, "intervals": nested(intervals)}


def read_curve(run: RunDirectory, evaluation: Path | None = None) -> dict[str, Any]:
    """Figures of every evaluated version on the unseen tasks, with recipe and environment of the
    run.
    """
    points = compared_points(evaluation) if evaluation else own_points(run)
    iterations = [
        json.loads(run.metrics(k).read_text())["collected"] for k in range(run.next_iteration())
    ]
    environment = json.loads((run.root / "environment.json").read_text())
    recipe = run.recipe().model_dump(mode="json")
    if Path(recipe["model"]["path"]).is_dir():  # whose place says nothing to others
        recipe["model"]["path"] = Path(recipe["model"]["path"]).name
    return {
        "versions": points,
        "collected": iterations,
        "recipe": recipe,
        "environment": environment,
    }


def _with_interval(point: dict[str, Any], key: str) -> tuple[float | None, ...]:
    value = pick(point, key)
    low, high = pick(point["intervals"], key) or (value, value)
    return value, low, high


def draw(curve: dict[str, Any], path: Path) -> None:
    """Draw a panel per figure, e.g. the test gain, over the adapters' versions."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    versions = sorted(curve["versions"])
    panels = shown(View.picture)
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(3.5 * len(panels), 3.2), constrained_layout=True
    )
    for axis, panel in zip(axes, panels, strict=True):
        points = [(v, *_with_interval(curve["versions"][v], panel.key)) for v in versions]
        known = [point for point in points if point[1] is not None]
        at, values, lows, highs = zip(*known, strict=True) if known else ((), (), (), ())
        below = [value - low for value, low in zip(values, lows, strict=True)]
        above = [high - value for value, high in zip(values, highs, strict=True)]
        axis.errorbar(at, values, yerr=[below, above], marker="o", capsize=3)
        axis.set(title=panel.about, xlabel="iterations of training", xticks=versions)
        axis.grid(alpha=0.3)
    tasks = next(iter(curve["versions"].values()))["episodes"]
    figure.suptitle(
        f"{tasks} unseen procedural tasks, one episode each; 95% intervals over tasks; one seed"
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, help="path without ending; .png and .json are written")
    parser.add_argument("--evaluation", type=Path, help="directory of a comparison of versions")
    args = parser.parse_args(arguments)

    def study() -> str:
        curve = read_curve(RunDirectory(args.run), args.evaluation)
        write_json(args.out.with_suffix(".json"), curve)
        draw(curve, args.out.with_suffix(".png"))
        return f"{args.out.with_suffix('.png')}: {len(curve['versions'])} versions"

    return run_study(study)


if __name__ == "__main__":
    raise SystemExit(main())
