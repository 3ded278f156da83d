"""Arms of a comparison: the ways to get a model for a task.

A *team arm* lets two agents improve the baseline; an arm without a team is one fixed solution. In: an arm's name, a
recipe, a run. Out: who plays, or which solution stands, and a fingerprint of everything the results depend on.
Nothing is played here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from marl_llm.errors import UserError
from marl_llm.kind import Kind
from marl_llm.open_run import policies
from marl_llm.proposals import PipelineSpec, baseline
from marl_llm.recipe import Recipe
from marl_llm.roles import ROLES
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.session import BASE_POLICY, RolePolicy
from marl_llm.run import RunDirectory

BASELINE = "baseline"
ARMS = ("untrained", "trained", "scripted", "hgb", BASELINE)
"""All arms but `SWAPPED`; "trained@K" is the pair of adapters of version K."""
SWAPPED = "swapped"
"""Each role plays with the other role's adapter; "swapped@K" likewise."""
_VERSIONED = re.compile(rf"(trained|{SWAPPED})(?:@(\d+))?")


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes
    ----------
    name : str
        As the user wrote it.
    what : str
        What it is, for the table's foot.
    roles : dict of role to RolePolicy, or None
        Served policies of a team; None for the scripted pair and for fixed solutions.
    fingerprint : str
        Eight hexadecimal digits: results under the same fingerprint may be kept.
    """

    name: str
    what: str
    roles: dict[str, RolePolicy] | None
    fingerprint: str

    @property
    def is_team(self) -> bool:
        """True if two agents play; False for a fixed solution."""
        return self.roles is not None or self.name == "scripted"

    @property
    def folder(self) -> str:
        """Name of the arm's directory."""
        return f"{self.name.replace('@', '-v')}-{self.fingerprint}"


def fixed_spec(arm: str, kind: Kind) -> PipelineSpec:
    """The solution of an arm without a team: the start of every episode, or gradient boosting as it comes."""
    if arm == BASELINE:
        return baseline(kind)
    estimator = "HistGradientBoostingClassifier" if kind.is_classification else "HistGradientBoostingRegressor"
    return PipelineSpec(estimator=estimator, impute="median", scale="none", encode="ordinal")


def plain(recipe: Recipe) -> RolloutConfig:
    """The recipe's rollout as a plain episode: one proposal, one implementation."""
    return recipe.rollout.model_copy(update={"proposals": 1, "implementations": 1})


def make_arm(name: str, recipe: Recipe, run: RunDirectory, seed: int) -> Arm:
    """An arm by name.

    Raises
    ------
    UserError
        Unknown name, an adapter version that the run does not have, or a swap of one adapter that both roles share.
    """
    versioned = _VERSIONED.fullmatch(name)
    known = (*ARMS, SWAPPED)
    if name not in known and not versioned:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)} and trained@VERSION."
        raise UserError(f"Unknown arm '{name}': {hint}")
    if name == "untrained":
        return team_arm(name, recipe, dict.fromkeys(ROLES, BASE_POLICY), "base model without adapters", seed)
    if versioned:
        versions = {role: int(versioned[2]) if versioned[2] else run.version(role) for role in ROLES}
        what = ", ".join(f"{role} v{version}" for role, version in versions.items())
        note = " (not trained yet)" if not any(versions.values()) else ""
        roles = trained_roles(recipe, run, versions)
        if versioned[1] == SWAPPED:
            roles, note = swapped_roles(roles), f"{note}, each played by the other role"
        return team_arm(name, recipe, roles, f"adapters {what}{note}", seed)
    if name == "scripted":
        rate = recipe.evaluation.scripted_error_rate
        return team_arm(name, recipe, None, f"random valid proposals, Engineer wrong in {rate:.0%}", seed)
    what = "start of every episode: linear model" if name == BASELINE else "default HistGradientBoosting"
    return Arm(name, what, None, _fingerprint(name, _common(recipe, seed)))


def trained_roles(recipe: Recipe, run: RunDirectory, versions: dict[str, int]) -> dict[str, RolePolicy]:
    """Adapters of these versions. Raises UserError if the run lacks one."""
    for role, version in versions.items():
        if not run.adapter(role, version).is_dir():
            raise UserError(f"{run.root} has no version {version} of {role}: the latest is {run.version(role)}.")
    return policies(recipe, run, versions)


def swapped_roles(roles: dict[str, RolePolicy]) -> dict[str, RolePolicy]:
    """Each role with the other's policy. Raises UserError if both have the same one."""
    first, second = ROLES
    if roles[first] == roles[second]:
        raise UserError("Arm 'swapped': both roles play with one adapter in this run, so there is nothing to swap.")
    return {first: roles[second], second: roles[first]}


def team_arm(name: str, recipe: Recipe, roles: dict[str, RolePolicy] | None, what: str, seed: int) -> Arm:
    """An arm in which a team plays; `roles` None is the scripted pair."""
    who = {role: asdict(policy.info) for role, policy in (roles or {}).items()}
    rollout = plain(recipe).model_dump(mode="json", exclude={"episodes_at_once", "executor"})
    model = recipe.model.path if roles else recipe.evaluation.scripted_error_rate
    sections = [recipe.prompts.model_dump(mode="json"), recipe.rewards.model_dump(mode="json"), rollout, model, who]
    return Arm(name, what, roles, _fingerprint(name, _common(recipe, seed), *sections))


def make_arms(names: Sequence[str], recipe: Recipe, run: RunDirectory, seed: int) -> list[Arm]:
    """Distinct arms in the order given, the baseline always among them: every gain is measured against it."""
    return [make_arm(name, recipe, run, seed) for name in dict.fromkeys((*names, BASELINE))]


def _common(recipe: Recipe, seed: int) -> list[Any]:
    """What every arm's results depend on."""
    return [recipe.environment.model_dump(mode="json"), recipe.sandbox.model_dump(mode="json", exclude={"slots"}), seed]


def _fingerprint(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
