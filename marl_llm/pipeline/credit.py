"""The credit stage of an iteration: rows are scored by the recipe's weights and become advantages,
role by role.

In: trajectories, which hold facts. Out: `credit/<role>.parquet`, rewards and advantages, and
`statistics.json`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow.parquet as pq

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.credit import CreditStatistics, CreditTable, assign_credit, write_credit
from marl_llm.rewards import RewardConfig, score_rows
from marl_llm.rewards.scoring import OWN
from marl_llm.trajectories import lost_episodes, read_rows
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

logger = logging.getLogger(__name__)

Credit = tuple[CreditTable, CreditStatistics]
"""A role's table and its statistics."""


def credit_rows(
    recipe: Recipe, run: RunDirectory, k: int, weights: RewardConfig
) -> dict[str, Credit]:
    """Credit of iteration k's rows by these weights, by role; nothing is written."""
    rows = score_rows(read_rows(run.trajectories(k)), weights)
    return {role: assign_credit(rows, role, recipe.credit_of(role)) for role in ROLES}


def write_tables(credit: dict[str, Credit], directory: Path) -> None:
    """Write every role's table into a directory, and beside them the statistics."""
    for role, (table, _) in credit.items():
        write_credit(table, directory / f"{role}.parquet")
    statistics = {role: told for role, (_, told) in credit.items()}
    write_json(directory / "statistics.json", statistics)


def credit_stage(recipe: Recipe, run: RunDirectory, k: int) -> None:
    """Credit iteration k; and again those before it that are still trained on, where their tables
    hold no rewards, as those of older runs do. Their advantages stay the same, as far as single
    precision goes.

    Episodes whose part was deleted leave no trace in the credit: those of iteration k are to be
    collected again first, those before it are trained on without, which is said.

    Raises
    ------
    UserError
        Parts of iteration k are gone.
    """
    oldest = k - max(getattr(recipe.training, role).max_age for role in ROLES)
    for i in range(max(0, oldest), k + 1):
        lost = lost_episodes(run.trajectories(i)) or 0
        if lost and i == k:
            raise UserError(
                f"{run.trajectories(k)} has lost {lost} of its episodes: collect them again with "
                f"`marl-llm rollout --run {run.root}`, which repeats no other."
            )
        if lost:
            logger.warning("iteration %d has lost %d episodes: trained on without them", i, lost)
        known = all(_holds_rewards(run.credit(i, role)) for role in ROLES)
        if i == k or lost or not known:
            write_tables(credit_rows(recipe, run, i, recipe.rewards), run.iteration(i) / "credit")


def _holds_rewards(table: Path) -> bool:
    return table.is_file() and OWN in pq.read_schema(table).names
