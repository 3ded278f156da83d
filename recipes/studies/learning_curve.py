"""`python recipes/studies/learning_curve.py RUN OUT`: the learning curve of a run as a picture, and
the JSON behind it.

Needs matplotlib (extra `dev`). Every evaluated version is drawn, with its 95% interval over tasks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.rollout.figures import View, pick, shown
from marl_llm.workspace.run import RunDirectory


def read_curve(run: RunDirectory) -> dict[str, Any]:
    """Figures of every evaluated version on the unseen tasks, with recipe and environment of the
    run.
    """
    points = {}
    for path in sorted((run.root / "evaluation" / "procedural").glob("v*/metrics.json")):
        points[int(path.parent.name[1:])] = json.loads(path.read_text())
    if not points:
        raise UserError(
            f"{run.root}: nothing was evaluated yet; run `marl-llm iterate --run {run.root}`."
        )
    iterations = [
        json.loads(run.metrics(k).read_text())["collected"] for k in range(run.next_iteration())
    ]
    environment = json.loads((run.root / "environment.json").read_text())
    recipe = run.recipe().model_dump(mode="json")
    return {
        "versions": points,
        "collected": iterations,
        "recipe": recipe,
        "environment": environment,
    }


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
        values = [pick(curve["versions"][v], panel.key) for v in versions]
        intervals = [
            pick(curve["versions"][v]["intervals"], panel.key) or (x, x)
            for v, x in zip(versions, values, strict=True)
        ]
        below = [x - low for x, (low, _) in zip(values, intervals, strict=True)]
        above = [high - x for x, (_, high) in zip(values, intervals, strict=True)]
        axis.errorbar(versions, values, yerr=[below, above], marker="o", capsize=3)
        axis.set(title=panel.about, xlabel="iterations of training", xticks=versions)
        axis.grid(alpha=0.3)
    tasks = next(iter(curve["versions"].values()))["episodes"]
    figure.suptitle(
        f"{tasks} unseen procedural tasks, one episode each; 95% intervals over tasks; one seed"
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, help="path without ending; .png and .json are written")
    args = parser.parse_args()
    curve = read_curve(RunDirectory(args.run))
    write_json(args.out.with_suffix(".json"), curve)
    draw(curve, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
