"""Logged rows as training reads them: data frames go in, checked `ReplayRow`s come out. Pure numpy
and pandas.

Tokens are taken as the server sampled them; nothing is tokenised again. Advantages come from
credit's table, joined by the row key.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.credit.columns import require_columns
from marl_llm.credit.stage import ROW_KEY, CreditTable
from marl_llm.training.batching import Sizes

TOKEN_COLUMNS = ["prompt_ids", "completion_ids", "logprobs"]
_TURN_COLUMNS = [
    "run",
    "iteration",
    "step",
    "group",
    "followed",
    "verdict",
    "refused",
]
TRAINING_COLUMNS = [
    *ROW_KEY,
    *TOKEN_COLUMNS,
    *_TURN_COLUMNS,
    "policy_version",
    "adapter_sha256",
    "sampling",
]
"""Columns of a trajectory row that training reads."""


class Sampling(TypedDict, total=False):
    """Sampling parameters that are looked at; more may be recorded."""

    temperature: float
    top_p: float
    top_k: int | None
    min_p: float | None


@dataclass(eq=False)
class ReplayRow:
    """One logged completion of T tokens after a prompt of P tokens.

    Attributes
    ----------
    name : str
        For messages: episode, branch and call.
    prompt_ids, completion_ids : ndarray of int64, shape (P,) and (T,)
    logged_logprobs : ndarray of float32, shape (T,)
        Nats, of the sampled tokens under the sampling policy.
    advantage : ndarray of float32, shape (T,)
        One per completion token; equal within a row unless importance weights were folded in.
    adapter_sha256 : str
        Fingerprint of the adapter that sampled the row; "" if unknown.
    sampling : Sampling
        Sampling parameters as recorded; {} if unknown.
    policy_version : int
        Of the adapter that sampled the row; -1 if unknown.
    old_logprobs : ndarray of float32, shape (T,)
        Denominator of the ratio; the logged ones unless the trainer recomputes them.
    reference_logprobs : ndarray of float32, shape (T,), or None
        Under the base model; only with a KL term.
    """

    name: str
    prompt_ids: np.ndarray
    completion_ids: np.ndarray
    logged_logprobs: np.ndarray
    advantage: np.ndarray
    adapter_sha256: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    policy_version: int = -1
    old_logprobs: np.ndarray = field(init=False)
    reference_logprobs: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.old_logprobs = self.logged_logprobs

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return len(self.prompt_ids) + len(self.completion_ids)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """All that the weights at the end of a phase follow from."""
        return self.prompt_ids, self.completion_ids, self.logged_logprobs, self.advantage


def join_credit(rows: pd.DataFrame, credit: CreditTable) -> pd.DataFrame:
    """Rows that the table speaks of, with its `advantage` and `kept`, and `reward` and `reward_own`
    where it has them.

    Raises
    ------
    UserError
        A row that is to be trained on is missing, or occurs twice: the table belongs to other rows.
    """
    try:
        known = [name for name in ("reward", "reward_own") if name in credit]
        told = credit[[*ROW_KEY, "advantage", "kept", *known]]
        joined = rows.merge(told, on=ROW_KEY, how="inner", validate="one_to_one")
    except pd.errors.MergeError:
        raise UserError(
            "the rows and the credit table do not match one to one; run the credit stage again."
        ) from None
    lost = int(credit["kept"].to_numpy().sum() - joined["kept"].to_numpy().sum())
    if lost:
        raise UserError(
            f"the credit table names {lost} rows that were not found; run the credit stage "
            "again on these rows."
        )
    return joined


def sizes_of(rows: Sequence[ReplayRow]) -> Sizes:
    """What computing these rows takes."""
    return Sizes.of([row.prompt_ids for row in rows], [len(row.completion_ids) for row in rows])


def replay_rows(frame: pd.DataFrame) -> tuple[list[ReplayRow], dict[str, int]]:
    """Check and convert the rows to train on.

    Parameters
    ----------
    frame : DataFrame
        `prompt_ids`, `completion_ids`, `logprobs`, `advantage`, and where present `kept`,
        `adapter_sha256`, `policy_version`, `sampling` and the row key.

    Returns
    -------
    (list of ReplayRow, dict)
        The rows, and how many were left out: "not_kept" by credit, "empty" completions.

    Raises
    ------
    UserError
        A missing column, or a row whose lengths differ or whose numbers are not finite; the message
        names the row.
    """
    require_columns(frame, [*TOKEN_COLUMNS, "advantage"], "training")
    dropped: Counter[str] = Counter(not_kept=0, empty=0)
    rows: list[ReplayRow] = []
    for position, entry in enumerate(frame.to_dict("records")):
        if not entry.get("kept", True):
            dropped["not_kept"] += 1
        elif not len(_array(entry["completion_ids"], np.int64)):
            dropped["empty"] += 1
        else:
            rows.append(_row(entry, position))
    return rows, dict(dropped)


def _row(entry: Mapping[Hashable, Any], position: int) -> ReplayRow:
    parts = [f"{key} {entry[key]}" for key in ("episode", "branch", "call") if key in entry]
    name = ", ".join(parts) or f"row {position}"
    completion = _array(entry["completion_ids"], np.int64)
    row = ReplayRow(
        name=name,
        prompt_ids=_array(entry["prompt_ids"], np.int64),
        completion_ids=completion,
        logged_logprobs=_array(entry["logprobs"], np.float32),
        advantage=np.full(len(completion), entry["advantage"], np.float32),
        adapter_sha256=_text(entry.get("adapter_sha256")),
        sampling=_sampling(_text(entry.get("sampling")), name),
        policy_version=int(entry.get("policy_version", -1)),
    )
    if not len(row.prompt_ids):
        raise UserError(
            f"{name}: the prompt has no tokens, so the first completion token has no "
            "context; score it without."
        )
    if len(row.logged_logprobs) != len(completion):
        raise UserError(
            f"{name}: {len(completion)} completion tokens but {len(row.logged_logprobs)} "
            "log-probabilities; the rows must be collected again."
        )
    if not (np.isfinite(row.logged_logprobs).all() and np.isfinite(row.advantage).all()):
        raise UserError(
            f"{name}: a log-probability or the advantage is not a finite number; leave the row out."
        )
    return row


def _array(value: object, dtype: type) -> np.ndarray:
    """A list cell as an array of shape (n,); a missing cell (None or NaN) as an empty one."""
    return (
        np.asarray(value, dtype).reshape(-1)
        if isinstance(value, (list, np.ndarray))
        else np.zeros(0, dtype)
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _sampling(text: str, name: str) -> Sampling:
    try:
        return Sampling(**dict(json.loads(text))) if text else {}
    except (ValueError, TypeError):
        raise UserError(
            f"{name}: the column `sampling` is not a JSON object; the row was not written by "
            "this version."
        ) from None
