"""What an experiment came to, as JSON, Markdown and pictures: `python
recipes/studies/experiment_report.py RUNS OUT`.

Reads an experiment's directory as far as it has come, with `headroom-procedural.json` and
`headroom-benchmark.json` (made by `python recipes/studies/headroom.py`) where they lie in it. The
JSON holds every figure of every arm, version and seed that the pictures and tables show.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from experiment_figures.figures import by_seed, figures
from experiment_figures.material import Material, Part, read_material
from experiment_figures.plots import draw
from experiment_figures.targets import targets
from experiment_figures.text import to_markdown
from headroom_file import Headroom

from marl_llm.core.atomic import write_json, write_text
from marl_llm.core.directory import make_directory
from marl_llm.core.errors import UserError
from marl_llm.pipeline.experiment.config import UNTRAINED
from marl_llm.pipeline.experiment.layout import ExperimentDirectory
from marl_llm.workspace.run import package_versions

logger = logging.getLogger(__name__)


def write_report(directory: Path, out: Path) -> list[Path]:
    """Write `<name>.json`, `<name>.md` and the pictures into `out`; returns the files.

    Raises
    ------
    UserError
        `directory` is no experiment, or nothing of it was evaluated yet.
    """
    material = read_material(ExperimentDirectory(directory))
    name = material.experiment.name
    files = [out / f"{name}.json", out / f"{name}.md"]
    write_json(files[0], to_dict(material))
    write_text(files[1], to_markdown(material))
    return [*files, *draw(material, out)]


def to_dict(material: Material) -> dict[str, Any]:
    """Every figure as plain data for JSON."""
    experiment = material.experiment
    return {
        "name": experiment.name,
        "main": experiment.main,
        "arms": {name: arm.model_dump(mode="json") for name, arm in experiment.arms.items()},
        "base": experiment.base,
        "overrides": experiment.overrides,
        "evaluation": experiment.evaluation.model_dump(mode="json"),
        "runs": material.runs,
        "parts": {part.name: _part(material, part) for part in material.parts},
        "packages": package_versions(),
    }


def _part(material: Material, part: Part) -> dict[str, Any]:
    versions = {arm: part.versions(arm) for arm in material.arms}
    found = {
        arm: {version: _version(part, arm, version) for version in numbers}
        for arm, numbers in versions.items()
        if numbers
    }
    name = material.experiment.main
    main = part.final(name)
    held = targets(figures(part, main), complete=material.complete(part, name)) if main else []
    return {
        "tasks": sorted({result.task for result in part.baseline.values()}),
        "left_out": part.left_out,
        "targets": [one.model_dump(mode="json") for one in held],
        "arms": found,
        "headroom": {trial: _headroom(room) for trial, room in part.headroom.items()},
    }


def _version(part: Part, arm: str, version: int) -> dict[str, Any]:
    played = part.played[arm, version]
    seeds = {} if arm == UNTRAINED else by_seed(part, played)
    return {
        "all": figures(part, played).model_dump(mode="json"),
        "seeds": {seed: one.model_dump(mode="json") for seed, one in seeds.items()},
        "trials": [
            {
                "seed": one.seed,
                "trial": one.result.trial,
                "task": one.result.task,
                "test": one.result.test,
                "gain": one.result.gain,
                "low": one.result.low,
                "high": one.result.high,
                "error": one.result.error,
                "steps": one.result.team.get("steps"),
                "tokens": one.result.team.get("tokens"),
            }
            for one in played
        ],
    }


def _headroom(room: Headroom) -> dict[str, Any]:
    """A search without the proposals that came second."""
    return room.model_dump(mode="json", exclude={"leading"}) | {
        "headroom": room.headroom,
        "confirmed": room.confirmed,
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line: write the report, name its files."""
    parser = argparse.ArgumentParser(
        prog="experiment_report.py", description="What an experiment came to."
    )
    parser.add_argument("runs", type=Path, help="the experiment's directory")
    parser.add_argument(
        "out", type=Path, help="directory for the JSON, the tables and the pictures"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        make_directory(options.out)
        files = write_report(options.runs, options.out)
    except UserError as error:
        logger.error("%s", error)
        return error.exit_code
    sys.stdout.write("\n".join(str(file) for file in files) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
