"""Publishing a run: gathers its latest adapters, recipe, training figures and evaluation table for the hub's cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marl_llm.errors import UserError
from marl_llm.evaluation import load_report, to_markdown
from marl_llm.hub import CardInputs, publish_adapters
from marl_llm.recipe import Recipe, dump_recipe
from marl_llm.roles import ROLES
from marl_llm.run import RunDirectory

EMBEDDED = "data/models/tiny"


def publish_run(directory: Path, *, repo_prefix: str, endpoint: str | None = None, dry_run: bool = False) -> list[str]:
    """Publish the latest adapters of a run, one repository a role.

    Returns
    -------
    list of str
        Lines to show: each repository's address and files; with `dry_run` also its card.

    Raises
    ------
    UserError
        The directory holds no run or no trained adapter; or the hub refuses (token, permission, name).
    """
    run = RunDirectory(directory)
    recipe = run.recipe()
    versions = {role: run.version(role) for role in ROLES}
    if max(versions.values()) == 0:
        raise UserError(f"{directory}: nothing is trained yet; run `marl-llm iterate --run {directory}` first.")
    repos = publish_adapters(
        {role: run.adapter(role, version) for role, version in versions.items()},
        repo_prefix=repo_prefix,
        card=_card(run, recipe, versions),
        endpoint=endpoint,
        dry_run=dry_run,
        private_paths=[run.root],
    )
    done = "would be published" if dry_run else "published"
    lines = [f"{repo.url} {done}: {', '.join(repo.files)}" for repo in repos]
    return lines + [repo.card for repo in repos] if dry_run else lines


def _card(run: RunDirectory, recipe: Recipe, versions: dict[str, int]) -> CardInputs:
    embedded = Path(recipe.model.path).is_dir()
    return CardInputs(
        base_model=EMBEDDED if embedded else recipe.model.path,
        embedded=embedded,
        recipe=dump_recipe(recipe.model_copy(update={"model": _public(recipe, embedded)})),
        training={role: _training(run, role, version) for role, version in versions.items()},
        evaluation=_evaluation(run),
    )


def _public(recipe: Recipe, embedded: bool) -> Any:
    return recipe.model.model_copy(update={"path": EMBEDDED}) if embedded else recipe.model


def _training(run: RunDirectory, role: str, version: int) -> dict[str, float | int | str]:
    """Figures of a role's training, summed over the iterations in which there was something to learn from."""
    figures = [json.loads(run.metrics(k).read_text())["training"][run.trainee(role)] for k in range(version)]
    trained = [f for f in figures if f["trained"]]
    return {
        "iterations": version,
        "iterations that trained": len(trained),
        "rows": sum(f["rows"] for f in trained),
        "tokens": sum(f["tokens"] for f in trained),
        "optimizer steps": sum(f["steps"] for f in trained),
    }


def _evaluation(run: RunDirectory) -> str:
    """The tables of all evaluations of the run, Markdown; "" if there is none."""
    reports = sorted((run.root / "evaluation").glob("*/evaluation.json"))
    return "\n\n".join(f"### {path.parent.name}\n\n{to_markdown(load_report(path))}" for path in reports)
