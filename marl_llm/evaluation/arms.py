"""Arms of a comparison: the ways to get a model for a task.

A *team arm* lets two agents improve the baseline; a *fixed arm* is one solution as it comes;
`flaml` is what people use instead. In: an arm's name, the sections that playing reads, a run. Out:
who plays, or which solution stands, and a fingerprint of everything the results depend on. Nothing
is played here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.evaluation.fixed import BASELINE, FIXED, missing_package
from marl_llm.evaluation.flaml_arm import DEFAULT_SECONDS, FLAML, MIN_SECONDS, require_flaml
from marl_llm.evaluation.plans import BUDGETED, DEFAULT_BUDGET, SOLVE, Plan
from marl_llm.rollout.budget import Budget as PlayBudget
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.session import BASE_POLICY, RolePolicy
from marl_llm.workspace.open_run import policies
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.sections import PlaySections

ARMS = ("untrained", "trained", "scripted", "hgb", BASELINE)
"""The arms of a comparison by default; "trained@K" is the pair of adapters of version K."""
SWAPPED = "swapped"
"""Each role plays with the other role's adapter; "swapped@K" likewise."""
KNOWN = tuple(dict.fromkeys((*ARMS, *FIXED, *BUDGETED, FLAML, SWAPPED)))
"""All arms by name."""
_VERSIONED = re.compile(rf"(trained|{SWAPPED})(?:@(\d+))?")


@dataclass(frozen=True)
class Budget:
    """CPU seconds per trial: a number, or what the arm `like` took on the same trial (then
    `seconds` is None).
    """

    seconds: float | None
    like: str | None = None


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
    budget : Budget or None
        Of `flaml`; None for all others.
    plan : Plan or None
        Of an arm that plays as `solve` does.
    """

    name: str
    what: str
    roles: dict[str, RolePolicy] | None
    fingerprint: str
    budget: Budget | None = None
    plan: Plan | None = None

    @property
    def is_team(self) -> bool:
        """True if two agents play; False for a fixed solution."""
        return self.roles is not None or self.name == "scripted"

    @property
    def folder(self) -> str:
        """Name of the arm's directory."""
        return f"{self.name.replace('@', '-' if self.plan else '-v')}-{self.fingerprint}"


def plain(rollout: RolloutConfig) -> RolloutConfig:
    """A rollout as a plain episode: one proposal, one implementation."""
    return rollout.model_copy(update={"proposals": 1, "implementations": 1})


def make_arm(
    name: str,
    sections: PlaySections,
    run: RunDirectory,
    seed: int,
    play_budget: PlayBudget = DEFAULT_BUDGET,
) -> Arm:
    """An arm by name; `flaml`, which depends on the others, is made by `make_arms`.

    Raises
    ------
    UserError
        Unknown name, an adapter version that the run does not have, or a swap of one adapter that
        both roles share.
    """
    versioned = _VERSIONED.fullmatch(name)
    if name not in KNOWN and not versioned:
        near = difflib.get_close_matches(name, KNOWN, n=1)
        hint = (
            f"did you mean '{near[0]}'?"
            if near
            else f"there are {', '.join(KNOWN)} and trained@VERSION."
        )
        raise UserError(f"Unknown arm '{name}': {hint}")
    if name in BUDGETED:
        plan = Plan.of(name, play_budget, run)
        return Arm(name, plan.what, None, _fingerprint(*plan.depends_on, seed), plan=plan)
    if name == "untrained":
        return team_arm(
            name, sections, dict.fromkeys(ROLES, BASE_POLICY), "base model without adapters", seed
        )
    if versioned:
        versions = {
            role: int(versioned[2]) if versioned[2] else run.version(role) for role in ROLES
        }
        what = ", ".join(f"{role} v{version}" for role, version in versions.items())
        note = " (not trained yet)" if not any(versions.values()) else ""
        roles = trained_roles(sections.name, run, versions)
        if versioned[1] == SWAPPED:
            roles, note = swapped_roles(roles), f"{note}, each played by the other role"
        return team_arm(name, sections, roles, f"adapters {what}{note}", seed)
    if name == "scripted":
        rate = sections.scripted_error_rate
        return team_arm(
            name, sections, None, f"random valid proposals, Engineer wrong in {rate:.0%}", seed
        )
    return Arm(name, FIXED[name].what, None, _fingerprint(name, _common(sections, seed)))


def trained_roles(
    recipe: str, run: RunDirectory, versions: dict[str, int]
) -> dict[str, RolePolicy]:
    """Adapters of these versions, named after the recipe of that name. Raises UserError if the run
    lacks one.
    """
    for role, version in versions.items():
        if not run.adapter(role, version).is_dir():
            raise UserError(
                f"{run.root} has no version {version} of {role}: the latest is {run.version(role)}."
            )
    return policies(recipe, run, versions)


def swapped_roles(roles: dict[str, RolePolicy]) -> dict[str, RolePolicy]:
    """Each role with the other's policy. Raises UserError if both have the same one."""
    first, second = ROLES
    if roles[first] == roles[second]:
        raise UserError(
            "Arm 'swapped': both roles play with one adapter in this run, so there is "
            "nothing to swap."
        )
    return {first: roles[second], second: roles[first]}


def team_arm(
    name: str, sections: PlaySections, roles: dict[str, RolePolicy] | None, what: str, seed: int
) -> Arm:
    """An arm in which a team plays; `roles` None is the scripted pair."""
    who = {role: asdict(policy.info) for role, policy in (roles or {}).items()}
    rollout = plain(sections.rollout).model_dump(mode="json", exclude=set(RolloutConfig.OPERATION))
    model = sections.model.path if roles else sections.scripted_error_rate
    rewards = sections.rewards
    weights = rewards.model_dump(mode="json", exclude=set() if rewards.extra else {"extra"})
    read = [sections.prompts.model_dump(mode="json"), weights, rollout, model, who]
    return Arm(name, what, roles, _fingerprint(name, _common(sections, seed), *read))


def make_arms(
    names: Sequence[str],
    sections: PlaySections,
    run: RunDirectory,
    seed: int,
    flaml_seconds: float | None = None,
    play_budget: PlayBudget = DEFAULT_BUDGET,
) -> list[Arm]:
    """Distinct arms in the order given, the baseline always among them: every gain is measured
    against it.

    Parameters
    ----------
    names : sequence of str
        Fixed arms whose package is missing should have been left out (`left_out`).
    sections, run, seed
    flaml_seconds : float, optional
        Budget of `flaml` for each trial, CPU seconds. Default: what a team took on the same trial,
        see `flaml_arm`.
    play_budget : Budget
        Of the arms that play as `solve` does.

    Raises
    ------
    UserError
        As `make_arm`; FLAML is asked for and not installed, or its budget is too small.
    """
    distinct = dict.fromkeys((*names, BASELINE))
    if FLAML in distinct:  # said before anything else takes time
        require_flaml()
        if flaml_seconds is not None and not flaml_seconds >= MIN_SECONDS:
            raise UserError(
                f"--flaml-seconds {flaml_seconds:g}: FLAML needs at least {MIN_SECONDS:g} "
                "second of CPU."
            )
    arms = {
        name: make_arm(name, sections, run, seed, play_budget) for name in distinct if name != FLAML
    }
    if FLAML in distinct:
        arms[FLAML] = flaml_arm(list(arms.values()), sections, seed, flaml_seconds)
    return [arms[name] for name in distinct]


def flaml_arm(
    others: Sequence[Arm], sections: PlaySections, seed: int, seconds: float | None
) -> Arm:
    """FLAML with a number of CPU seconds for each trial, or with those that a team takes there.

    The team is that of `solve` if it is in the comparison, else the first trained one, or the first
    of any; where there is none, FLAML gets 60 s.
    """
    playing = (
        arm for arm in others if arm.is_team or (arm.plan is not None and arm.plan.team is not None)
    )
    teams = sorted(playing, key=lambda arm: (arm.name != SOLVE, not arm.name.startswith("trained")))
    if seconds is None and teams:
        what, budget = (
            f"FLAML, one core, the CPU seconds of {teams[0].name} on the same trial",
            teams[0].folder,
        )
        return Arm(
            FLAML,
            what,
            None,
            _fingerprint(FLAML, _common(sections, seed), budget),
            Budget(None, teams[0].name),
        )
    seconds = seconds or DEFAULT_SECONDS
    what = f"FLAML, one core, {seconds:g} CPU seconds on each trial"
    return Arm(
        FLAML, what, None, _fingerprint(FLAML, _common(sections, seed), seconds), Budget(seconds)
    )


def left_out(names: Sequence[str]) -> dict[str, str]:
    """Fixed arms among `names` whose package is not installed, each with the sentence that says
    so.
    """
    missing = {
        name: package for name in names if name in FIXED and (package := missing_package(name))
    }
    return {
        name: f"Arm '{name}' is left out: {package} is not installed (`pip install "
        "'marl_llm[boosting]'`)."
        for name, package in missing.items()
    }


def _common(sections: PlaySections, seed: int) -> list[object]:
    """What every arm's results depend on."""
    return [
        sections.environment.model_dump(mode="json"),
        sections.sandbox.model_dump(mode="json", exclude={"slots"}),
        seed,
    ]


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
