"""Publishing a run: gathers its latest adapters, recipe, training figures and evaluation table for
the hub's cards.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_llm.core.base_model import EMBEDDED, is_embedded, model_at_hand, weights_sha256
from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import HUB_NAME
from marl_llm.core.roles import ROLES, TEAM
from marl_llm.evaluation import load_report, to_markdown
from marl_llm.hub import CardInputs, TeamInputs, base_repo_of, publish_adapters
from marl_llm.training.adapters import base_name_of
from marl_llm.workspace.recipe import Recipe, dump_recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import ModelSection


def publish_run(
    directory: Path, *, repo_prefix: str, endpoint: str | None = None, dry_run: bool = False
) -> list[str]:
    """Publish the latest adapters of a run, one repository a role; the embedded base model goes
    along.

    Returns
    -------
    list of str
        Lines to show: each repository's address and files, and how the team is named from now on;
        with `dry_run` also the cards.

    Raises
    ------
    UserError
        The directory holds no run or no trained adapter, its base model has no public name; or the
        hub refuses (token, permission, name).
    """
    run = RunDirectory(directory)
    recipe = run.recipe()
    versions = {role: run.version(role) for role in ROLES}
    if max(versions.values()) == 0:
        raise UserError(
            f"{directory}: nothing is trained yet; run `marl-llm iterate --run {directory}` first."
        )
    if len(set(versions.values())) > 1:
        told = ", ".join(f"{role} has version {version}" for role, version in versions.items())
        raise UserError(
            f"{directory}: {told}, so an iteration was interrupted; run `marl-llm iterate --run "
            f"{directory}` to its end first."
        )
    base = _public_base(run, recipe.model, repo_prefix)
    repos = publish_adapters(
        {role: run.adapter(role, version) for role, version in versions.items()},
        repo_prefix=repo_prefix,
        card=_card(run, recipe, versions, base.name),
        team=_team(run, recipe, versions, base),
        endpoint=endpoint,
        dry_run=dry_run,
        private_paths=[run.root],
    )
    done = "would be published" if dry_run else "published"
    lines = [f"{repo.url} {done}: {', '.join(repo.files)}" for repo in repos]
    if dry_run:
        return lines + [repo.card for repo in repos]
    return [
        *lines,
        f"marl-llm solve your.csv --target COLUMN --team {repo_prefix}@{repos[0].commit} --out OUT",
    ]


@dataclass(frozen=True)
class _Base:
    """The base model as others get it: its name on the Hub, where it lies here, and whether it goes
    along.
    """

    name: str
    directory: Path | None
    along: bool = False


def _public_base(run: RunDirectory, model: ModelSection, prefix: str) -> _Base:
    here = EMBEDDED if is_embedded(model.path) else model_at_hand(model.path)
    if model.hub_name:
        return _Base(model.hub_name, here)
    if is_embedded(model.path):
        return _Base(base_repo_of(prefix), here, along=True)
    if base_name_of(run.adapter(ROLES[0], run.version(ROLES[0]))) == model.path and re.fullmatch(
        HUB_NAME, model.path
    ):
        return _Base(model.path, here)
    raise UserError(
        f"The base model of {run.root} is a directory without a public name ({model.path}), and "
        "base models are not published along with adapters: set model.hub_name in "
        f"{run.root / 'recipe.yaml'} to its name on the Hugging Face Hub (user/name)."
    )


def _card(run: RunDirectory, recipe: Recipe, versions: dict[str, int], base: str) -> CardInputs:
    public = {
        "model": recipe.model.model_copy(update={"path": base, "hub_name": None}),
        "environment": recipe.environment.model_copy(update={"cache": None}),
        "rollout": recipe.rollout.model_copy(update={"executor": "local", "ray_address": None}),
    }  # where a model, a cache and a cluster are is this machine's affair
    return CardInputs(
        base_model=base,
        recipe=dump_recipe(recipe.model_copy(update=public)),
        training={role: _training(run, role, version) for role, version in versions.items()},
        evaluation=_evaluation(run),
    )


def _team(run: RunDirectory, recipe: Recipe, versions: dict[str, int], base: _Base) -> TeamInputs:
    return TeamInputs(
        versions=versions,
        shared=run.trainees == (TEAM,),
        base_sha256=weights_sha256(base.directory) if base.directory else None,
        base=base.directory if base.along else None,
        experience=run.experience() if recipe.prompts.experience_lines else None,
    )


def _training(run: RunDirectory, role: str, version: int) -> dict[str, float | int | str]:
    """Figures of a role's training, summed over the iterations in which there was something to
    learn from.
    """
    kept = [
        path for path in map(run.metrics, range(version)) if path.is_file()
    ]  # a shipped team has none
    figures = [_trained(path, run.trainee(role)) for path in kept]
    trained = [f for f in figures if f["trained"]]
    if not figures:
        return {"iterations": version}
    return {
        "iterations": version,
        "iterations that trained": len(trained),
        "rows": sum(f["rows"] for f in trained),
        "tokens": sum(f["tokens"] for f in trained),
        "optimizer steps": sum(f["steps"] for f in trained),
    }


def _trained(path: Path, trainee: str) -> dict[str, Any]:
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["training"][trainee]
        return {"trained": figures["trained"]} | {
            name: figures[name] for name in ("rows", "tokens", "steps") if figures["trained"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or no metrics of an iteration ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:80]}): delete it and run `marl-llm iterate` again, "
            "which writes it anew."
        ) from None


def _evaluation(run: RunDirectory) -> str:
    """The tables of all evaluations of the run, Markdown; "" if there is none."""
    reports = sorted((run.root / "evaluation").glob("*/evaluation.json"))
    return "\n\n".join(
        f"### {path.parent.name}\n\n{to_markdown(load_report(path))}" for path in reports
    )
