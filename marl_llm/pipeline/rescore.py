"""Old rollouts under other weights: nothing is played again. A run's trajectories and reward
weights go in; new credit tables beside the run's own, and a comparison of both, come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from marl_llm.core.atomic import write_text
from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ROLES
from marl_llm.pipeline.credit import Credit, credit_rows, write_tables
from marl_llm.rewards import RewardConfig, reward_columns
from marl_llm.rewards.scoring import OWN
from marl_llm.workspace.run import RunDirectory

WEIGHTS = "weights.yaml"
"""The weights that tables were made with, beside them."""


@dataclass(frozen=True)
class RoleChange:
    """What other weights change for one role's rows of one iteration; pairs are (before, after).

    Attributes
    ----------
    rows : int
    rewards : dict of str to (float or None, float or None)
        Mean over rows of `reward` and of each component by name, units of skill; None where the
        weights have no such component.
    signal : (float, float)
        Share of groups whose turns the rewards tell apart, in [0, 1].
    correlation : float or None
        Pearson's, of the advantages of rows that either keeps; None where one of them is constant.
    """

    iteration: int
    role: str
    rows: int
    rewards: dict[str, tuple[float | None, float | None]]
    signal: tuple[float, float]
    correlation: float | None


def rescore(
    run: RunDirectory,
    iterations: Sequence[int],
    weights: RewardConfig,
    name: str,
    out: Path | None = None,
) -> list[RoleChange]:
    """Credit iterations of a run by other weights.

    Parameters
    ----------
    run : RunDirectory
    iterations : sequence of int
        Collected ones.
    weights : RewardConfig
    name : str
        Tables go to `iteration_<k>/credit-<name>`; the run's own, in `credit`, stay as they are.
    out : Path, optional
        To `<out>/iteration_<k>` instead.

    Raises
    ------
    UserError
        Tables of other weights lie there, or a component of the user's own cannot be imported.
    """
    recipe, found = run.recipe(), []
    folders = {k: credit_folder(run, k, name, out) for k in iterations}
    for folder in folders.values():
        _require_same(folder, weights)
    for k, folder in folders.items():
        before, after = (credit_rows(recipe, run, k, one) for one in (recipe.rewards, weights))
        write_text(folder / WEIGHTS, weights_text(weights))
        write_tables(after, folder)
        found += [_change(k, role, before[role], after[role]) for role in ROLES]
    return found


def credit_folder(run: RunDirectory, k: int, name: str, out: Path | None = None) -> Path:
    """Where the tables of iteration k go."""
    return run.iteration(k) / f"credit-{name}" if out is None else out / run.iteration(k).name


def weights_text(weights: RewardConfig) -> str:
    """A `rewards` section as YAML, every key written out."""
    return yaml.safe_dump(weights.model_dump(mode="json"), sort_keys=True)


def changed_weights(before: RewardConfig, after: RewardConfig) -> list[str]:
    """The keys whose values differ, as "key before -> after"."""
    pairs = ((key, getattr(before, key), getattr(after, key)) for key in RewardConfig.model_fields)
    return [f"{key} {old} -> {new}" for key, old, new in pairs if old != new]


def render_changes(changes: Sequence[RoleChange]) -> str:
    """A table of each role: mean rewards before and after; a line per iteration: groups with
    signal, correlation.
    """
    blocks = [_block(role, [one for one in changes if one.role == role]) for role in ROLES]
    return "\n\n".join(blocks)


def _require_same(folder: Path, weights: RewardConfig) -> None:
    written = folder / WEIGHTS
    if folder.is_dir() and any(folder.iterdir()):
        if not written.is_file():
            raise UserError(
                f"{folder} holds something else than credit of other weights: name another "
                "with --out."
            )
        if written.read_text(encoding="utf-8") != weights_text(weights):
            raise UserError(
                f"{folder} holds the credit of other weights ({WEIGHTS} says which): rename your "
                "file, or name another directory with --out."
            )


def _change(
    k: int,
    role: str,
    before: Credit,
    after: Credit,
) -> RoleChange:
    (old, old_told), (new, new_told) = before, after
    names = [
        name for name in dict.fromkeys([*reward_columns(old), *reward_columns(new)]) if name != OWN
    ]
    rewards = {name.removeprefix("reward_"): (_mean(old, name), _mean(new, name)) for name in names}
    either = (old["kept"] | new["kept"]).to_numpy(bool)
    return RoleChange(
        iteration=k,
        role=role,
        rows=len(old),
        rewards=rewards,
        signal=(_signal(old_told), _signal(new_told)),
        correlation=_correlation(
            old["advantage"].to_numpy()[either], new["advantage"].to_numpy()[either]
        ),
    )


def _mean(table: pd.DataFrame, name: str) -> float | None:
    return float(table[name].to_numpy(float).mean()) if name in table and len(table) else None


def _signal(statistics: Mapping[str, Any]) -> float:
    return statistics["kept_groups"] / max(1, statistics["groups"])


def _correlation(old: np.ndarray, new: np.ndarray) -> float | None:
    if len(old) < 2 or not old.std() or not new.std():
        return None
    return float(np.corrcoef(old, new)[0, 1])


def _block(role: str, changes: Sequence[RoleChange]) -> str:
    """One role's table, its rewards averaged over the rows of all iterations."""
    who = "Data Scientist" if role == DATA_SCIENTIST else "ML Engineer"
    rows = np.array([one.rows for one in changes], float)
    lines = [
        f"{who}, {rows.sum():.0f} calls",
        f"  {'mean per call':<22}{'before':>10}{'after':>10}",
    ]
    names = list(dict.fromkeys(name for one in changes for name in one.rewards))
    for name in sorted(names, key=lambda name: name != "reward"):
        pairs = np.array([one.rewards[name] for one in changes if one.rows], float)
        old, new = (rows[rows > 0] @ pairs / rows.sum()) if len(pairs) else (0.0, 0.0)
        if old or new:
            lines.append(f"  {name:<22}{_cell(old):>10}{_cell(new):>10}")
    for one in changes:
        alike = "-" if one.correlation is None else f"{one.correlation:.2f}"
        lines.append(
            f"  iteration {one.iteration}: groups with signal {one.signal[0]:.1%} -> "
            f"{one.signal[1]:.1%}, correlation of advantages {alike}"
        )
    return "\n".join(lines)


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:+.4f}"
