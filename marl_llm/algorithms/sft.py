"""SFT: the adapter learns to say what was said well. Rejection sampling and behaviour cloning.

*Rows*: with `selection: best_of_group`, of each group of turns that started from the same state all
calls of the turn with the highest advantage, if that is positive: it beat its group's baseline. A
call that was refused and corrected afterwards is never imitated, however good its turn became. With
`kept` the rows that credit keeps, and with `all` every row, whatever credit says of it. Rows of the
runs that `imitate` names count as well. *Credit*: the recipe's, to choose among turns; no advantage
weighs a token. *Loss*: the mean negative log-likelihood of the completions' tokens; prompts are
context only.

Tokens are taken as they were sampled. No log-probability is read, so of the integrity checks only
the adapter's fingerprint is left, and with `all`, `kept` or `imitate` not even that.

References
----------
Zelikman et al. 2022, "STaR"; Dong et al. 2023, "RAFT: Reward rAnked FineTuning".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from marl_llm.algorithms.base import Algorithm, Trained, learn_from
from marl_llm.algorithms.selection import (
    by_group,
    check_fingerprints,
    kept_rows,
    refused_rows,
    turn_codes,
    turns_of,
)
from marl_llm.core.frames import chosen, with_columns
from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.loss import PieceLoss, Replay, StepSize, Tokens, mean_over_tokens
from marl_llm.training.phase import Learned, Phase
from marl_llm.training.replay import build_trainer, run
from marl_llm.training.seam import trained_policy

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped
    from torch import Tensor

_HISTORY = ("step", "loss", "learning_rate", "grad_norm", "entropy")


class SFT(Algorithm, frozen=True):
    """Supervised fine-tuning on logged completions."""

    algorithm: Literal["sft"] = "sft"
    selection: Literal["best_of_group", "kept", "all"] = Field(
        default="best_of_group",
        description="imitate the best turn of each group that beats its baseline (rejection "
        "sampling), all that credit keeps, or all",
    )
    imitate: tuple[str, ...] = Field(
        default=(),
        description="directories of other runs of the same base model, whose trajectories are "
        "imitated besides",
    )

    @property
    def other_runs(self) -> tuple[str, ...]:
        """Those it is told to imitate."""
        return self.imitate

    @property
    def own_rows_only(self) -> bool:
        """Rows must be of the adapter that is trained: for `best_of_group` without `imitate`
        only."""
        return self.selection == "best_of_group" and not self.imitate

    def rows(self, frame: pd.DataFrame) -> tuple[list[ReplayRow], dict[str, int]]:
        """Rows to imitate.

        Parameters
        ----------
        frame : DataFrame
            Rows with the columns of `replay_rows` and, for `best_of_group`, `group`.

        Returns
        -------
        (list of ReplayRow, dict)
            The rows, and how many were left out: "not_kept" by credit, "empty" completions,
            "not_best" of their group.

        Raises
        ------
        UserError
            Malformed rows, or no column `group`.
        """
        if self.selection != "best_of_group":
            everything = with_columns(frame, kept=True) if self.selection == "all" else frame
            rows, dropped = replay_rows(everything)
            return rows, dropped | {"not_best": 0}
        turns, kept = turns_of(frame), kept_rows(frame)
        best = [max(group, key=lambda turn: turn.advantage) for group in by_group(turns)]
        beats = np.array([turn.code for turn in best if turn.advantage > 0], np.int64)
        imitated = np.isin(turn_codes(frame), beats) & ~refused_rows(frame)
        rows, dropped = replay_rows(chosen(frame, imitated))
        counts = {"not_kept": int((~kept).sum()), "not_best": int((kept & ~imitated).sum())}
        return rows, dropped | counts

    def learn(self, frame: pd.DataFrame, phase: Phase) -> Learned:
        """Train on `rows` of the frame."""
        rows, dropped = self.rows(frame)
        anyone = not self.own_rows_only
        return learn_from(rows, dropped, frame, phase, self.train, any_adapter=anyone)

    def train(self, rows: Sequence[ReplayRow], phase: Phase) -> Trained:
        """Train the adapter on the rows' completions; metrics as in `replay.run`.

        Raises
        ------
        IntegrityError
            All rows are of another adapter, and `own_rows_only`.
        """
        if self.own_rows_only:
            check_fingerprints([row.adapter_sha256 for row in rows], phase.adapter_sha256)
        replay = Replay(likelihood_loss, old="current", batch_tokens=self.batch_tokens)
        trainer = build_trainer(rows, phase, self, replay)
        metrics = run(trainer, rows, phase, self)
        metrics["history"] = [
            {name: entry[name] for name in _HISTORY if name in entry}
            for entry in metrics["history"]
        ]
        return trained_policy(trainer), metrics


def likelihood_loss(tokens: Tokens, step: StepSize) -> PieceLoss:
    """The mean negative log-likelihood, see `negative_log_likelihood`."""
    return PieceLoss(negative_log_likelihood(tokens.logps, tokens.mask, step))


def negative_log_likelihood(
    logps: Float[Tensor, "rows tokens"], mask: Shaped[Tensor, "rows tokens"], step: StepSize
) -> Float[Tensor, ""]:
    """A piece's part of -mean(log pi) over the completion tokens of a step, nats."""
    return mean_over_tokens(-logps, mask, step)
