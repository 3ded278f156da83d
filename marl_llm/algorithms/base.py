"""What an algorithm is: its own keys of the recipe, what credit means to it, which rows it wants,
and how it learns from them. Two bases: `Algorithm` for any, `PolicyGradient` for those whose loss
reads the logged log-probabilities of rows with advantages; of these a loss is all that is needed.

Importing this room is light: torch and TRL are imported by what trains.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

import pandas as pd
from pydantic import BaseModel, Field

from marl_llm.core.frames import texts
from marl_llm.credit import CreditConfig
from marl_llm.training.config import PolicyConfig, TrainConfig
from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.gate import Sampled, only_old_kept
from marl_llm.training.loss import PieceLoss, StepSize, Tokens
from marl_llm.training.phase import Learned, Phase
from marl_llm.training.policy_phase import policy_trainer, train_policy

if TYPE_CHECKING:
    from peft import PeftModel

    from marl_llm.training.trl_adapter import ReplayTrainer

S = TypeVar("S", bound=Sampled)
Trained = tuple["PeftModel", dict[str, object]]
"""The model, whose adapter "default" is the result, and metrics fit for JSON."""


class _Named(BaseModel, frozen=True, extra="forbid"):
    algorithm: str = Field(
        description="grpo, rloo, ppo, sft, dpo, or the import path of your own, module:Class"
    )


class Algorithm(TrainConfig, _Named, frozen=True):
    """Keys that every algorithm has, and what the pipeline asks of one."""

    one_process: ClassVar[bool] = False
    """It cannot train under `accelerate launch` in several processes."""
    reads_credit: ClassVar[bool] = True
    """It learns from the credit stage's advantages, not from credit of its own."""

    @property
    def other_runs(self) -> tuple[str, ...]:
        """Directories of other runs of the same base model whose rows it learns from as well."""
        return ()

    @property
    def sampling_temperature(self) -> float | None:
        """The temperature its rows must have been sampled at; None: any."""
        return None

    def credit(self, config: CreditConfig) -> CreditConfig:
        """The credit stage's settings as this algorithm takes them."""
        return config

    @abstractmethod
    def learn(self, frame: pd.DataFrame, phase: Phase) -> Learned:
        """Choose rows of one role's credited frame and train the phase's adapter on them."""


class PolicyGradient(Algorithm, PolicyConfig, frozen=True):
    """All rows that credit kept, behind the integrity gate, by a loss on their tokens.

    Old rows carry truncated importance weights in their advantages (`old_logps`, `tis_cap`).
    """

    @property
    def sampling_temperature(self) -> float | None:
        """That of its loss."""
        return self.temperature

    def rows(self, frame: pd.DataFrame) -> tuple[list[ReplayRow], dict[str, int]]:
        """The rows to learn from, and how many were left out, by reason."""
        return replay_rows(frame)

    @abstractmethod
    def loss(self, tokens: Tokens, step: StepSize) -> PieceLoss:
        """What a piece of a step adds to the step's loss."""

    def learn(self, frame: pd.DataFrame, phase: Phase) -> Learned:
        """Train on `rows` of the frame."""
        rows, dropped = self.rows(frame)
        return learn_from(rows, dropped, frame, phase, self.train)

    def train(self, rows: Sequence[ReplayRow], phase: Phase) -> Trained:
        """Train on rows whose advantages are ready."""
        return train_policy(rows, phase, self, self.loss)

    def trainer(self, rows: Sequence[ReplayRow], phase: Phase) -> ReplayTrainer:
        """The trainer of such a phase, without gate and diagnosis."""
        return policy_trainer(rows, phase, self, self.loss)


def learn_from(
    samples: Sequence[S],
    dropped: dict[str, int],
    frame: pd.DataFrame,
    phase: Phase,
    train: Callable[[Sequence[S], Phase], Trained],
    *,
    rows_each: int = 1,
    any_adapter: bool = False,
) -> Learned:
    """Train on samples, unless none is left, or only such of older adapters.

    Parameters
    ----------
    samples : sequence
        Rows, or pairs of them.
    dropped : dict of str to int
        Rows left out so far.
    frame : DataFrame
        All rows; where the phase's adapter collected some of them but none of the samples, there is
        nothing that could be checked against it, and nothing is trained ("only_old").
    phase : Phase
    train : callable
    rows_each : int
        Rows per sample.
    any_adapter : bool
        Samples of older adapters alone will do.
    """
    seen = texts(frame, "adapter_sha256") if "adapter_sha256" in frame else []
    if not any_adapter and only_old_kept(samples, seen, phase.adapter_sha256):
        dropped, samples = dropped | {"only_old": rows_each * len(samples)}, []
    if not samples:
        return Learned(None, 0, dropped)
    model, metrics = train(samples, phase)
    return Learned(model, rows_each * len(samples), dropped, metrics)
