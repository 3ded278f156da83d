"""Turns of logged rows, for algorithms that choose among them: a frame of credited rows goes in, a
table of turns comes out. Pure pandas.

A turn's advantage is the mean over its calls. Choosing looks at no log-probabilities, so instead of
the integrity gate only the rows' adapter fingerprint is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from marl_llm.credit.columns import require_columns
from marl_llm.training.gate import IntegrityError

TURN = ["run", "iteration", "episode", "branch", "role"]
"""Columns that name a turn, as far as the rows have them."""


def check_fingerprints(fingerprints: Iterable[str], adapter_sha256: str) -> dict[str, int]:
    """Count whose rows these are: of the adapter about to be trained ("same"), of another
    ("other"), or "unknown".

    Raises
    ------
    IntegrityError
        All known rows are of another adapter, and none is unknown.
    """
    count = Counter(same=0, other=0, unknown=0)
    for fingerprint in fingerprints:
        count[
            "unknown" if not fingerprint else "same" if fingerprint == adapter_sha256 else "other"
        ] += 1
    if count["other"] and not count["same"] + count["unknown"]:
        raise IntegrityError(
            f"all {count['other']} rows were sampled by another adapter than the one about to be "
            f"trained ({adapter_sha256[:12]}, sha256); train the version that collected them, "
            "collect again, or, to imitate any rows, choose algorithm: sft with selection: all."
        )
    return dict(count)


def kept_rows(frame: pd.DataFrame) -> pd.Series:
    """Rows that credit kept, bool."""
    return pd.Series(frame["kept"].to_numpy(bool) if "kept" in frame else True, index=frame.index)


def refused_rows(frame: pd.DataFrame) -> pd.Series:
    """Rows whose action was refused and asked for again; none where the frame does not say."""
    refused = frame["refused"].to_numpy(bool) if "refused" in frame else False
    return pd.Series(refused, index=frame.index, dtype=bool)


def turn_codes(frame: pd.DataFrame) -> pd.Series:
    """The number of each row's turn."""
    columns = [name for name in TURN if name in frame]
    return frame.groupby(columns, sort=False, dropna=False).ngroup()


def turns_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The kept turns by code: `group_code`, mean `advantage`, number of `rows`, whether the first
    call was `refused`, and the index label of the `first` call's row.

    Turns with an empty completion are left out: there is nothing to learn from them.
    """
    require_columns(frame, ["group"], "taking pairs, or the best, of a group")
    scope = [name for name in ("run", "iteration", "group") if name in frame]
    table = pd.DataFrame(
        {
            "turn": turn_codes(frame),
            "group_code": frame.groupby(scope, sort=False, dropna=False).ngroup(),
            "advantage": frame["advantage"].astype(float),
            "call": frame.get("call", 0),
            "full": frame["completion_ids"].map(len) > 0,
            "refused": refused_rows(frame),
            "first": frame.index,
        }
    )
    table = table.loc[kept_rows(frame)].sort_values(by="call", kind="stable")
    turns = table.groupby("turn").agg(
        group_code=("group_code", "first"),
        advantage=("advantage", "mean"),
        full=("full", "all"),
        rows=("full", "size"),
        refused=("refused", "first"),
        first=("first", "first"),
    )
    return turns.loc[turns["full"]]
