"""The credit stage: one role's logged rows go in, a table with one advantage per row and a few
statistics come out.

Training reads the table from `credit/<role>.parquet`, so the two meet in a file and either can be
rerun alone. The rows come with their rewards: `score_rows` computes them from the rows' facts
before, by the recipe's weights or by others. Leaving out rows that are too old is the caller's
business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from marl_llm.core.atomic import replacing
from marl_llm.core.errors import UserError
from marl_llm.core.frames import (
    cells,
    chosen,
    equal,
    floats,
    group_numbers,
    integers,
    of_columns,
    read_frame,
    repeated,
    with_columns,
    write_frame,
)
from marl_llm.credit.advantages import GroupAdvantages, Reason, Scale, group_relative
from marl_llm.credit.columns import require_columns
from marl_llm.credit.regret import stopping_regret
from marl_llm.credit.team import mix, team_returns
from marl_llm.rewards import reward_columns

ROW_KEY = ["episode", "branch", "call", "role"]
CREDIT_COLUMNS = ["episode", "branch", "call", "role", "group", "advantage", "kept", "reason"]
CreditTable: TypeAlias = pd.DataFrame
"""One line per row of the role, columns `CREDIT_COLUMNS`: str, str, int, str, str, float32, bool,
str (a `Reason`); and the rewards that the advantages come from, float32, units of skill: `reward`,
the part of it that is the call's own (`reward_own`), and each component (`reward_<name>`). Tables
of before rows were scored here lack the rewards.
"""


class CreditStatistics(TypedDict):
    """What came of one role's rows: counts, shares of dropped groups in [0, 1], mean and deviation
    of the rewards and of the advantages (both over rows).
    """

    rows: int
    turns: int
    groups: int
    kept_rows: int
    kept_groups: int
    group_sizes: dict[str, int]
    singleton_share: float
    too_small_share: float
    zero_variance_share: float
    reward_mean: float
    reward_std: float
    centred_std: float
    advantage_std: float
    clipped_rows: int


class CreditConfig(BaseModel):
    """How rewards become advantages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    leave_one_out: bool = Field(
        default=False,
        description="baseline = mean return of the group's other turns, not of all turns",
    )
    scale: Scale = Field(
        default=Scale.role,
        description="divide by: none, or the deviation over the group, over the role's rows of the "
        "same step, over all",
    )
    clip: float | None = Field(
        default=5.0, gt=0, description="advantages are cut to +-clip after scaling; null: not cut"
    )
    min_group: int = Field(
        default=2, ge=2, description="turns; smaller groups are dropped and counted"
    )
    epsilon: float = Field(
        default=1e-6, gt=0, description="reward units; returns closer than this count as equal"
    )
    regret: float = Field(
        default=0.0,
        ge=0,
        description="share of the best gain in its group that a turn which ends the episode is "
        "charged (not ppo)",
    )
    alpha: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="weight of the team's return against the role's own reward, both scaled first; "
        "0: own only",
    )


def assign_credit(
    rows: pd.DataFrame, role: str, config: CreditConfig
) -> tuple[CreditTable, CreditStatistics]:
    """Advantages of one role's rows.

    Parameters
    ----------
    rows : DataFrame
        Trajectory rows of any roles as `score_rows` gives them, with `episode`, `branch`, `call`,
        `role`, `group` and `reward`; with `alpha` above 0 of both roles, and with the columns of
        `team.team_returns`. Where `run` and `iteration` are present, turns and groups never reach
        across them.
    role : str
        The role whose rows are credited; the others are ignored.
    config : CreditConfig

    Returns
    -------
    (CreditTable, CreditStatistics)
        The table in the order of `rows`, and statistics fit for JSON.

    Raises
    ------
    UserError
        A missing column, a row key that occurs twice, or a reward that is not a number.
    """
    mine = _rows_of(rows, role, ["step"] if config.scale is Scale.step else [])
    rewards = floats(mine, "reward")
    if config.regret > 0:
        rewards = rewards - config.regret * stopping_regret(mine, _groups(mine))
    result = _advantages(mine, rewards, config)
    if config.alpha > 0:
        result = mix(
            result, _advantages(mine, team_returns(rows, role), config), config.alpha, config.clip
        )
    table = with_columns(
        of_columns(mine, [*ROW_KEY, "group"]),
        advantage=result.advantage.astype(np.float32),
        kept=result.kept,
        reason=result.reason.astype(object),
    )
    table = of_columns(table, CREDIT_COLUMNS).join(of_columns(mine, reward_columns(mine)))
    return table.reset_index(drop=True), _statistics(floats(mine, "reward"), result)


def credit_path(directory: Path, role: str) -> Path:
    """Where the table of `role` lives below `directory`."""
    return Path(directory) / f"{role}.parquet"


def write_credit(table: CreditTable, path: Path) -> Path:
    """Write the table by temporary file and atomic rename; an older file is replaced.

    Raises
    ------
    RunFailed
        The disk refuses the file; an older one stays as it was.
    """
    path = Path(path)
    with replacing(path, "the credit table") as file:
        write_frame(table, file)
    return path


def read_credit(path: Path) -> CreditTable:
    """Read a table written by `write_credit`.

    Raises
    ------
    UserError
        The file is missing, truncated, or is not a credit table.
    """
    try:
        table = read_frame(path)
        return of_columns(table, [*CREDIT_COLUMNS, *reward_columns(table)])
    except FileNotFoundError:
        raise UserError(f"{path}: there is no credit table; run the credit stage first.") from None
    except (pa.ArrowInvalid, KeyError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise UserError(
            f"{path}: not a credit table ({reason}); delete it and run the credit stage again."
        ) from error


def _rows_of(rows: pd.DataFrame, role: str, more: Sequence[str]) -> pd.DataFrame:
    require_columns(rows, [*ROW_KEY, "group", "reward", *more], "credit")
    mine = chosen(rows, equal(rows, "role", role))
    twice = repeated(mine, ROW_KEY)
    if twice.any():
        raise UserError(
            f"{_name(chosen(mine, twice))} occurs twice; the run directory holds the "
            "same episode in two files."
        )
    broken = ~np.isfinite(floats(mine, "reward"))
    if broken.any():
        raise UserError(
            f"{_name(chosen(mine, broken))}: the reward is not a finite number; score "
            "the rows again."
        )
    return mine


def _advantages(mine: pd.DataFrame, rewards: np.ndarray, config: CreditConfig) -> GroupAdvantages:
    """Of one role's rows, by these rewards; they are cut here unless they are to be mixed."""
    return group_relative(
        rewards,
        _groups(mine),
        group_numbers(mine, [*_scope(mine), "episode", "branch"]),
        leave_one_out=config.leave_one_out,
        scale=config.scale,
        steps=integers(mine, "step") if config.scale is Scale.step else None,
        epsilon=config.epsilon,
        min_group=config.min_group,
        clip=config.clip if config.alpha == 0 else None,
    )


def _name(rows: pd.DataFrame) -> str:
    """How an error names the first of these rows."""
    row = {name: cells(rows, name)[0] for name in ROW_KEY}
    return (
        f"row (episode {row['episode']}, branch {row['branch']}, call {row['call']}, role "
        f"{row['role']})"
    )


def _scope(rows: pd.DataFrame) -> list[str]:
    return [name for name in ("run", "iteration") if name in rows]


def _groups(rows: pd.DataFrame) -> np.ndarray:
    return group_numbers(rows, [*_scope(rows), "group"])


def _statistics(rewards: np.ndarray, result: GroupAdvantages) -> CreditStatistics:
    sizes = np.bincount(result.group_of_turn) if len(rewards) else np.zeros(0, int)
    dropped = Counter[str](result.group_reason.tolist())
    groups = len(sizes)
    kept = result.advantage[result.kept]
    return {
        "rows": len(rewards),
        "turns": len(result.group_of_turn),
        "groups": groups,
        "kept_rows": int(result.kept.sum()),
        "kept_groups": dropped[Reason.kept],
        "group_sizes": {
            str(size): count for size, count in sorted(Counter(sizes.tolist()).items())
        },
        "singleton_share": dropped[Reason.singleton] / max(groups, 1),
        "too_small_share": dropped[Reason.too_small] / max(groups, 1),
        "zero_variance_share": dropped[Reason.zero_variance] / max(groups, 1),
        "reward_mean": float(rewards.mean()) if len(rewards) else 0.0,
        "reward_std": float(rewards.std()) if len(rewards) else 0.0,
        "centred_std": result.deviation,
        "advantage_std": float(kept.std()) if len(kept) else 0.0,
        "clipped_rows": result.clipped,
    }
