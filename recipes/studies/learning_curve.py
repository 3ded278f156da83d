"""`python recipes/studies/learning_curve.py RUN OUT`: the learning curve of a run as a picture, and the JSON behind it.

Needs matplotlib (extra `dev`). Every evaluated version is drawn, with its 95% interval over tasks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.workspace.run import RunDirectory

_PANELS = (
    ("test_gain", "gain on the test part, skill"),
    ("reward.data_scientist", "Data Scientist's reward a turn"),
    ("reward.ml_engineer", "ML Engineer's reward a turn"),
    ("as_asked", "share of code done as asked"),
)


def read_curve(run: RunDirectory) -> dict[str, Any]:
    """Figures of every evaluated version on the unseen tasks, with recipe and environment of the run."""
    points = {}
    for path in sorted((run.root / "evaluation" / "procedural").glob("v*/metrics.json")):
        points[int(path.parent.name[1:])] = json.loads(path.read_text())
    if not points:
        raise UserError(f"{run.root}: nothing was evaluated yet; run `marl-llm iterate --run {run.root}`.")
    iterations = [json.loads(run.metrics(k).read_text())["collected"] for k in range(run.next_iteration())]
    environment = json.loads((run.root / "environment.json").read_text())
    recipe = run.recipe().model_dump(mode="json")
    return {"versions": points, "collected": iterations, "recipe": recipe, "environment": environment}


def draw(curve: dict[str, Any], path: Path) -> None:
    """Draw four panels: test gain, both rewards, and compliance, over the adapters' versions."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    versions = sorted(curve["versions"])
    figure, axes = pyplot.subplots(1, len(_PANELS), figsize=(14, 3.2), constrained_layout=True)
    for axis, (key, title) in zip(axes, _PANELS, strict=True):
        values = [_pick(curve["versions"][v], key) for v in versions]
        intervals = [
            _pick(curve["versions"][v]["intervals"], key) or (x, x) for v, x in zip(versions, values, strict=True)
        ]
        below = [x - low for x, (low, _) in zip(values, intervals, strict=True)]
        above = [high - x for x, (_, high) in zip(values, intervals, strict=True)]
        axis.errorbar(versions, values, yerr=[below, above], marker="o", capsize=3)
        axis.set(title=title, xlabel="iterations of training", xticks=versions)
        axis.grid(alpha=0.3)
    tasks = next(iter(curve["versions"].values()))["episodes"]
    figure.suptitle(f"{tasks} unseen procedural tasks, one episode each; 95% intervals over tasks; one seed")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _pick(figures: dict[str, Any], key: str) -> Any:
    value: Any = figures
    for part in key.split("."):
        value = value[part]
    return value


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
