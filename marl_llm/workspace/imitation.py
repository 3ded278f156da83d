"""Other runs whose trajectories a role learns from besides its own: a warm start, or what a longer
run found out."""

from __future__ import annotations

from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory


def imitated_runs(recipe: Recipe, role: str) -> list[RunDirectory]:
    """The runs that `training.<role>.imitate` names.

    Raises
    ------
    UserError
        One is no run directory, has no finished iteration, or another base model, to which tokens
        mean something else.
    """
    runs = [RunDirectory(Path(name)) for name in recipe.training.of(role).other_runs]
    for run in runs:
        model = run.recipe().model.path
        if model != recipe.model.path:
            raise UserError(
                f"training.{role}.imitate: {run.root} was played by {model}, not by "
                f"{recipe.model.path}, so its tokens "
                "mean something else; name runs of the same base model."
            )
        if not run.next_iteration():
            raise UserError(
                f"training.{role}.imitate: {run.root} has no finished iteration; finish one, "
                "or leave it out."
            )
    return runs
