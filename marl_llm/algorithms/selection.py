"""Turns of logged rows, for algorithms that choose among them: a frame of credited rows goes in,
turns come out.

A turn's advantage is the mean over its calls. Choosing looks at no log-probabilities, so instead of
the integrity gate only the rows' adapter fingerprint is looked at.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from marl_llm.core.frames import Mask, bools, floats, group_numbers, integers, lengths
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


@dataclass(frozen=True)
class Turn:
    """A kept turn of a frame of rows.

    Attributes
    ----------
    code : int
        Its number, that of `turn_codes`.
    group : int
        The number of the group of turns that it is compared with.
    advantage : float
        Mean over its calls.
    rows : int
        Its calls.
    refused : bool
        Its first call was refused.
    first : int
        Position of the first call's row in the frame, from 0.
    """

    code: int
    group: int
    advantage: float
    rows: int
    refused: bool
    first: int


def kept_rows(frame: pd.DataFrame) -> Mask:
    """Rows that credit kept, shape (n,)."""
    return bools(frame, "kept") if "kept" in frame else np.ones(len(frame), np.bool_)


def refused_rows(frame: pd.DataFrame) -> Mask:
    """Rows whose action was refused and asked for again, shape (n,); none where the frame does not
    say.
    """
    return bools(frame, "refused") if "refused" in frame else np.zeros(len(frame), np.bool_)


def turn_codes(frame: pd.DataFrame) -> NDArray[np.int64]:
    """The number of each row's turn, shape (n,)."""
    return group_numbers(frame, [name for name in TURN if name in frame])


def turns_of(frame: pd.DataFrame) -> list[Turn]:
    """The kept turns by code.

    Turns with an empty completion are left out: there is nothing to learn from them.
    """
    require_columns(frame, ["group"], "taking pairs, or the best, of a group")
    scope = [name for name in ("run", "iteration", "group") if name in frame]
    codes, groups, refused = turn_codes(frame), group_numbers(frame, scope), refused_rows(frame)
    advantages, full = floats(frame, "advantage"), lengths(frame, "completion_ids") > 0
    calls = integers(frame, "call") if "call" in frame else np.zeros(len(frame), np.int64)
    kept = kept_rows(frame)
    positions: defaultdict[int, list[int]] = defaultdict(list)
    for position in np.argsort(calls, kind="stable").tolist():
        if kept[position]:
            positions[int(codes[position])].append(position)
    return [
        Turn(
            code=code,
            group=int(groups[at[0]]),
            advantage=math.fsum(advantages[at]) / len(at),  # exact: equal turns tie
            rows=len(at),
            refused=bool(refused[at[0]]),
            first=at[0],
        )
        for code, at in sorted(positions.items())
        if full[at].all()
    ]


def by_group(turns: Iterable[Turn]) -> list[list[Turn]]:
    """The turns of each group, in the order of the groups."""
    found: defaultdict[int, list[Turn]] = defaultdict(list)
    for turn in turns:
        found[turn.group].append(turn)
    return [found[group] for group in sorted(found)]
