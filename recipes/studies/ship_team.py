"""The main arm's best seed becomes the default team.

    python recipes/studies/ship_team.py EXPERIMENT [--out DIRECTORY]

Chosen is the seed whose final team gains most on the experiment's unseen procedural tasks (test
part, mean over tasks); benchmark CSVs are not looked at. Its latest adapters and the experience of
its training go into a run directory that `solve` plays with where no team is named, beside a recipe
that says how the team is asked. Environment and sandbox are at their defaults there: training's are
cheap, and name files of the machine it ran on.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from experiment_figures.material import Material, read_material

from marl_llm.core.atomic import write_text
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.environment.experience import STORE_FILE
from marl_llm.evaluation.study import run_study
from marl_llm.pipeline.experiment.layout import PROCEDURAL, ExperimentDirectory
from marl_llm.training.adapters import staging
from marl_llm.workspace.recipe import Recipe, dump_recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import EMBEDDED_TEAM


def gains(material: Material) -> dict[int, float]:
    """Mean test gain on the procedural tasks of the main arm's final teams, by seed."""
    parts = [part for part in material.parts if part.name == PROCEDURAL]
    found: dict[int, list[float]] = {}
    for played in (one for part in parts for one in part.final(material.experiment.main)):
        if played.seed is not None and played.result.gain is not None:
            found.setdefault(played.seed, []).append(played.result.gain)
    return {seed: float(np.mean(values)) for seed, values in sorted(found.items())}


def asked_as(trained: Recipe) -> Recipe:
    """The recipe of a play: model, prompts and sampling of the training, all else by default."""
    kept = {
        "name": trained.name,
        "seed": trained.seed,
        "model": trained.model,
        "prompts": trained.prompts,
    }
    return Recipe().model_copy(
        update=kept | {"rollout": trained.rollout, "serving": trained.serving}
    )


def ship(directory: ExperimentDirectory, out: Path) -> dict[int, float]:
    """Copy the best seed's team to `out`, in the place of what is there; returns the gains it was
    chosen by.

    Raises
    ------
    UserError
        No final team of the main arm was evaluated on procedural tasks yet.
    """
    material = read_material(directory)
    found = gains(material)
    if not found:
        raise UserError(
            f"{directory.root}: no final team of {material.experiment.main} was evaluated yet."
        )
    run = directory.run(material.experiment.main, max(found, key=lambda seed: found[seed]))
    shown = sorted(run.root.glob(f"iteration_*/{STORE_FILE}"))
    with staging(out) as folder:
        write_text(folder / "recipe.yaml", dump_recipe(asked_as(run.recipe())))
        target = RunDirectory(folder)
        for role in ROLES:
            version = run.version(role)
            shutil.copytree(run.adapter(role, version), target.adapter(role, version))
        if shown:
            shutil.copy(shown[-1], folder / STORE_FILE)
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)
    return found


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/ship_team.py", description=__doc__
    )
    parser.add_argument("experiment", type=Path, help="the experiment's directory")
    parser.add_argument(
        "--out", type=Path, default=EMBEDDED_TEAM, help="default: where the default team lies"
    )
    args = parser.parse_args()

    def study() -> str:
        found = ship(ExperimentDirectory(args.experiment), args.out)
        best = max(found, key=lambda seed: found[seed])
        lines = [
            f"seed {seed}: {gain:+.3f}{' (chosen)' if seed == best else ''}"
            for seed, gain in found.items()
        ]
        return "\n".join(lines)

    return run_study(study)


if __name__ == "__main__":
    raise SystemExit(main())
