"""Which logged rows imitation and preferences learn from: a frame of credited rows goes in, rows or pairs of rows come
out, with counts of what was left out. Pure numpy and pandas.

Rejection sampling keeps, of each group of turns that started from the same state, the one turn with the highest
advantage, if that is positive: the turn beat its group's baseline. Preferences set the best turn of a group against the
worst. A turn's advantage is the mean over its calls. A call that was refused and corrected afterwards is never imitated
nor preferred, however good its turn became. Neither looks at log-probabilities, so instead of the integrity
gate only the rows' adapter fingerprint is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.credit.columns import require_columns
from marl_llm.training.config import TrainConfig
from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.gate import IntegrityError

TURN = ["run", "iteration", "episode", "branch", "role"]
"""Columns that name a turn, as far as the rows have them."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two completions of one prompt, the first preferred. Token ids, int64: shapes (P,), (T_chosen,), (T_rejected,);
    and the fingerprint of the adapter that sampled them, "" if unknown."""

    prompt_ids: np.ndarray
    chosen_ids: np.ndarray
    rejected_ids: np.ndarray
    adapter_sha256: str = ""


def imitation_rows(frame: pd.DataFrame, config: TrainConfig) -> tuple[list[ReplayRow], dict[str, int]]:
    """Rows to imitate.

    Parameters
    ----------
    frame : DataFrame
        Rows with the columns of `replay_rows` and, for `selection: best_of_group`, `group`.
    config : TrainConfig
        Its `selection`: `best_of_group`, all calls of the best turn of each group but refused ones; `all`, every row,
        whatever credit says of it.

    Returns
    -------
    (list of ReplayRow, dict)
        The rows, and how many were left out: "not_kept" by credit, "empty" completions, "not_best" of their group.

    Raises
    ------
    UserError
        Malformed rows, or no column `group`.
    """
    if config.selection == "all":
        rows, dropped = replay_rows(frame.assign(kept=True))
        return rows, dropped | {"not_best": 0}
    turns, kept = _turns(frame), _kept(frame)
    best = turns.loc[turns.groupby("group_code")["advantage"].idxmax()]
    chosen = _turn_codes(frame).isin(best.index[best["advantage"] > 0]) & ~_refused(frame)
    rows, dropped = replay_rows(frame.loc[chosen])
    return rows, dropped | {"not_kept": int((~kept).sum()), "not_best": int((kept & ~chosen).sum())}


def preference_pairs(frame: pd.DataFrame) -> tuple[list[Pair], dict[str, int]]:
    """The best turn of each group against the worst.

    Only the first calls are set against each other: later calls of a turn have prompts of their own.

    Parameters
    ----------
    frame : DataFrame
        Rows with the columns of `replay_rows` and `group`.

    Returns
    -------
    (list of Pair, dict)
        One pair a group at most, in the order of the groups, and how many rows were left out: "not_kept" by credit, of
        turns with an "empty" completion; those of groups without a better turn to prefer ("no_difference"), whose two
        first calls are the same text ("same_completion") or whose two prompts differ ("other_prompt"); and of groups
        with a pair the rows that are "not_paired".

    Raises
    ------
    UserError
        Malformed rows, or no column `group`.
    """
    dropped = Counter(not_kept=int((~_kept(frame)).sum()), empty=0, no_difference=0)
    dropped.update(same_completion=0, other_prompt=0, not_paired=0)
    turns, pairs = _turns(frame), []
    dropped["empty"] = len(frame) - dropped["not_kept"] - int(turns["rows"].to_numpy().sum())
    for _, group in turns.groupby("group_code", sort=True):
        preferable, low = group.loc[~group["refused"], "advantage"], group["advantage"].idxmin()
        rows = int(group["rows"].to_numpy().sum())
        if preferable.empty or not preferable.max() > group.loc[low, "advantage"]:
            dropped["no_difference"] += rows
            continue
        high = preferable.idxmax()
        (chosen, rejected), _ = replay_rows(frame.loc[[group.loc[high, "first"], group.loc[low, "first"]]])
        if not np.array_equal(chosen.prompt_ids, rejected.prompt_ids):
            dropped["other_prompt"] += rows
        elif np.array_equal(chosen.completion_ids, rejected.completion_ids):
            dropped["same_completion"] += rows
        else:
            ids = chosen.prompt_ids, chosen.completion_ids, rejected.completion_ids
            pairs.append(Pair(*ids, chosen.adapter_sha256))
            dropped["not_paired"] += rows - 2
    return pairs, dict(dropped)


def check_fingerprints(fingerprints: Iterable[str], adapter_sha256: str) -> dict[str, int]:
    """Count whose rows these are: of the adapter about to be trained ("same"), of another ("other"), or "unknown".

    Raises
    ------
    IntegrityError
        All known rows are of another adapter, and none is unknown.
    """
    count = Counter(same=0, other=0, unknown=0)
    for fingerprint in fingerprints:
        count["unknown" if not fingerprint else "same" if fingerprint == adapter_sha256 else "other"] += 1
    if count["other"] and not count["same"] + count["unknown"]:
        raise IntegrityError(
            f"all {count['other']} rows were sampled by another adapter than the one about to be trained "
            f"({adapter_sha256[:12]}, sha256); train the version that collected them, collect again, or, to imitate "
            "any rows, choose algorithm: sft with selection: all."
        )
    return dict(count)


def _kept(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(frame["kept"].to_numpy(bool) if "kept" in frame else True, index=frame.index)


def _refused(frame: pd.DataFrame) -> pd.Series:
    """Rows whose action was refused and asked for again; none where the frame does not say."""
    return pd.Series(frame["refused"].to_numpy(bool) if "refused" in frame else False, index=frame.index)


def _turn_codes(frame: pd.DataFrame) -> pd.Series:
    columns = [name for name in TURN if name in frame]
    return frame.groupby(columns, sort=False, dropna=False).ngroup()


def _turns(frame: pd.DataFrame) -> pd.DataFrame:
    """The kept turns by code: `group_code`, mean `advantage`, number of `rows`, whether the first call was `refused`,
    and the index label of the `first` call's row.

    Turns with an empty completion are left out: there is nothing to learn from them.
    """
    require_columns(frame, ["group"], "taking pairs, or the best, of a group")
    scope = [name for name in ("run", "iteration", "group") if name in frame]
    table = pd.DataFrame(
        {
            "turn": _turn_codes(frame),
            "group_code": frame.groupby(scope, sort=False, dropna=False).ngroup(),
            "advantage": frame["advantage"].astype(float),
            "call": frame.get("call", 0),
            "full": frame["completion_ids"].map(len) > 0,
            "refused": _refused(frame),
            "first": frame.index,
        }
    )
    table = table.loc[_kept(frame)].sort_values(by="call", kind="stable")
    turns = table.groupby("turn").agg(
        group_code=("group_code", "first"),
        advantage=("advantage", "mean"),
        full=("full", "all"),
        rows=("full", "size"),
        refused=("refused", "first"),
        first=("first", "first"),
    )
    return turns.loc[turns["full"]]
