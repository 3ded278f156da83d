"""DPO: the adapter learns to prefer the better of two completions of one prompt.

*Rows*: of each group of turns that started from the same state the best turn against the worst, by
their first calls: later calls of a turn have prompts of their own. A call that was refused and
corrected afterwards is never preferred, however good its turn became. *Credit*: the recipe's, to
order turns; no advantage weighs a token. *Loss*: the sigmoid loss of the paper, as `trl.DPOTrainer`
computes it; the reference is the adapter that the phase started from.

Tokens are taken as they were sampled. No log-probability is read, so of the integrity checks only
the adapter's fingerprint is left.

References
----------
Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward
Model".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from marl_llm.algorithms.base import Algorithm, Trained, learn_from
from marl_llm.algorithms.selection import Turn, by_group, check_fingerprints, kept_rows, turns_of
from marl_llm.core.frames import at
from marl_llm.training.data import replay_rows
from marl_llm.training.pair_phase import Pair, train_pairs
from marl_llm.training.phase import Learned, Phase

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_REASONS: tuple[str, ...] = (
    "not_kept",
    "empty",
    "no_difference",
    "same_completion",
    "other_prompt",
    "not_paired",
)


class DPO(Algorithm, frozen=True):
    """Direct preference optimisation on pairs of one group; `batch_rows` counts pairs."""

    one_process: ClassVar[bool] = True
    algorithm: Literal["dpo"] = "dpo"
    dpo_beta: float = Field(
        default=0.1,
        gt=0,
        description="how strongly the policy is held to the adapter it started from",
    )

    def learn(self, frame: pd.DataFrame, phase: Phase) -> Learned:
        """Train on the pairs of the frame."""
        pairs, dropped = preference_pairs(frame)
        return learn_from(pairs, dropped, frame, phase, self.train, rows_each=2)

    def train(self, pairs: Sequence[Pair], phase: Phase) -> Trained:
        """Train the adapter on pairs; metrics as in `pair_phase.train_pairs`.

        Raises
        ------
        IntegrityError
            All pairs are of another adapter.
        """
        check_fingerprints([pair.adapter_sha256 for pair in pairs], phase.adapter_sha256)
        return train_pairs(pairs, phase, self, self.dpo_beta)


def preference_loss(
    chosen: Float[Tensor, " pairs"],
    rejected: Float[Tensor, " pairs"],
    reference_chosen: Float[Tensor, " pairs"],
    reference_rejected: Float[Tensor, " pairs"],
    beta: float,
) -> Float[Tensor, ""]:
    """-mean log sigmoid(beta (log pi(chosen) / ref(chosen) - log pi(rejected) / ref(rejected))).

    What TRL computes, stated to be read and tested; the arguments are log-probabilities of whole
    completions, nats, under the policy and under the adapter the phase started from. Rafailov et
    al. 2023, equation 7.
    """
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    return margin.new_zeros(()).logaddexp(-beta * margin).mean()


def preference_pairs(frame: pd.DataFrame) -> tuple[list[Pair], dict[str, int]]:
    """The best turn of each group against the worst.

    Parameters
    ----------
    frame : DataFrame
        Rows with the columns of `replay_rows` and `group`.

    Returns
    -------
    (list of Pair, dict)
        One pair per group at most, in the order of the groups, and how many rows were left out:
        "not_kept" by credit, of turns with an "empty" completion; those of groups without a better
        turn to prefer ("no_difference"), whose two first calls are the same text
        ("same_completion") or whose two prompts differ ("other_prompt"); and of groups with a pair
        the rows that are "not_paired".

    Raises
    ------
    UserError
        Malformed rows, or no column `group`.
    """
    dropped: Counter[str] = Counter(dict.fromkeys(_REASONS, 0))
    turns = turns_of(frame)
    pairs: list[Pair] = []
    dropped["not_kept"] = int((~kept_rows(frame)).sum())
    dropped["empty"] = len(frame) - dropped["not_kept"] - sum(turn.rows for turn in turns)
    for group in by_group(turns):
        rows = sum(turn.rows for turn in group)
        found = _pair(frame, group)
        if isinstance(found, Pair):
            pairs.append(found)
            dropped["not_paired"] += rows - 2
        else:
            dropped[found] += rows
    return pairs, dict(dropped)


def _pair(frame: pd.DataFrame, group: Sequence[Turn]) -> Pair | str:
    """A group's pair, or the reason why there is none."""
    preferable = [turn for turn in group if not turn.refused]
    low = min(group, key=lambda turn: turn.advantage)
    high = max(preferable, key=lambda turn: turn.advantage, default=low)
    if not high.advantage > low.advantage:
        return "no_difference"
    (chosen, rejected), _ = replay_rows(at(frame, [high.first, low.first]))
    if not np.array_equal(chosen.prompt_ids, rejected.prompt_ids):
        return "other_prompt"
    if np.array_equal(chosen.completion_ids, rejected.completion_ids):
        return "same_completion"
    ids = chosen.prompt_ids, chosen.completion_ids, rejected.completion_ids
    return Pair(*ids, chosen.adapter_sha256)
