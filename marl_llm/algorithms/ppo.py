"""PPO: the advantage of a token is what follows it minus what a critic of our own expected.

*Rows*: all of the role, plain episodes and trees alike. *Credit*: GAE across an agent's turns, from
the critic's values before the phase, whitened; credit's group advantages are not looked at, and
what becomes of a branch that the episode did not follow is said in `credit.gae`. *Loss*: the
clipped surrogate of `grpo`, whose paper this is, in the policy phase that all policy gradients
share; the critic is fitted by `value_loss` in a phase of its own.

Version k of a policy goes with version k of its critic, `<name>-critic-v<k>` beside the adapters;
before there is one, values are 0. Values are logged as they were before the fit, and their
explained variance is measured on the turns of the latest iteration, which that version has never
seen.

References
----------
Schulman et al. 2017, "Proximal Policy Optimization Algorithms"; Schulman et al. 2016,
"High-Dimensional Continuous Control Using Generalized Advantage Estimation".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from marl_llm.algorithms.grpo import Surrogate
from marl_llm.core.atomic import replacing
from marl_llm.core.errors import UserError
from marl_llm.core.frames import (
    cells,
    chosen,
    floats,
    groups,
    integers,
    labels,
    lengths,
    of_columns,
    with_columns,
    write_frame,
)
from marl_llm.credit.columns import require_columns
from marl_llm.credit.gae import AgentTurn, TurnCredit, episode_credit, explained_variance, whiten
from marl_llm.credit.regret import FINISHED
from marl_llm.credit.stage import ROW_KEY
from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.phase import Learned, Phase
from marl_llm.training.ranks import is_first

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from marl_llm.training.critic import Critic, CriticSettings

_NEEDED = ("episode", "branch", "call", "role", "step", "reward", "reward_own", "verdict")


class Valued(TypedDict):
    """What the critic's values were worth before the fit; see `PPO.learn`."""

    turns: int
    followed_turns: int
    heldout_turns: int
    explained_variance_heldout: float | None
    explained_variance_heldout_first: float | None
    value_mean: float
    return_mean: float
    return_std: float


class PPO(Surrogate, frozen=True):
    """Proximal policy optimisation with a critic and GAE over the agent's turns."""

    reads_credit: ClassVar[bool] = False
    algorithm: Literal["ppo"] = "ppo"
    gamma: float = Field(
        default=1.0, gt=0, le=1, description="discount from one of the agent's turns to the next"
    )
    gae_lambda: float = Field(
        default=0.95, ge=0, le=1, description="GAE's lambda across turns; within a turn it is 1"
    )
    value_clip: float | None = Field(
        default=1.0,
        gt=0,
        description="a value moves at most this far in one phase, in deviations of the return; "
        "null: not limited",
    )
    critic_learning_rate: float = Field(
        default=1e-3, gt=0, description="of the critic's LoRA and head (AdamW)"
    )
    critic_epochs: int = Field(default=4, ge=1, description="passes of the critic over the rows")
    critic_batch_rows: int = Field(
        default=32, ge=1, description="rows per optimizer step of the critic"
    )
    critic_rank: int = Field(
        default=16, ge=1, description="LoRA rank of the critic's own adapter (alpha: twice)"
    )
    critic_weight_decay: float = Field(
        default=0.01, ge=0, description="AdamW's decoupled weight decay of the critic"
    )

    def critic_settings(self) -> CriticSettings:
        """How the critic is made and fitted."""
        from marl_llm.training.critic import CriticSettings

        return CriticSettings(
            learning_rate=self.critic_learning_rate,
            weight_decay=self.critic_weight_decay,
            max_grad_norm=self.max_grad_norm,
            epochs=self.critic_epochs,
            batch_rows=self.critic_batch_rows,
            rank=self.critic_rank,
            value_clip=self.value_clip,
            batch_tokens=self.batch_tokens,
            precision=self.precision,
        )

    def learn(self, frame: pd.DataFrame, phase: Phase) -> Learned:
        """Train a role's adapter, and its critic, which is published with the policy's success and
        before it.

        Parameters
        ----------
        frame : DataFrame
            Rows with the columns of `replay_rows` (`kept` and `advantage` are not read) and `step`,
            `reward`, `reward_own`, `verdict`; where present `followed`, `run` and
            `iteration`.
        phase : Phase

        Returns
        -------
        Learned
            Without a model if there is no row. The metrics are the policy phase's and `critic`:
            version, turns, followed_turns, explained_variance_heldout (over the tokens of followed
            turns of the latest iteration, against the rewards received after each; None before the
            first fit), explained_variance_heldout_first (first tokens only), heldout_turns,
            value_mean, return_mean, return_std, loss (of each epoch), steps, seconds.

        Raises
        ------
        UserError, IntegrityError, RunFailed
            As `train_role.train_role`.
        """
        files = critic_files(phase.adapter_dir, phase.values or phase.workdir / "values.parquet")
        rows, frame, dropped = _rows(frame)
        if not rows:
            return Learned(None, 0, dropped)
        from marl_llm.training.adapters import publish_version, staging
        from marl_llm.training.critic import load_critic

        settings = self.critic_settings()
        critic = load_critic(phase.base_dir, files.before, settings, phase.workdir, phase.seed)
        values = critic.values(rows, settings)
        credits = agent_credit(frame, values, self)
        measured = _measure(frame, values, credits, critic)
        if is_first():
            _write_values(frame, values, credits, files.values)
        returns = [credit.returns for credit in credits]
        fit = critic.fit(rows, returns, values, settings, phase.seed, value_loss)
        for row, advantage in zip(rows, whiten([c.advantage for c in credits]), strict=True):
            row.advantage = advantage.astype(np.float32)
        with staging(files.after) as directory:
            critic.save(directory)
            del critic
            model, metrics = self.train(rows, phase)
            # It is there already where a run was stopped between this line and the policy's
            # publication.
            if is_first() and not files.after.exists():
                publish_version(directory, files.after)
        fitted = {"loss": fit.loss, "steps": fit.steps, "seconds": fit.seconds}
        return Learned(model, len(rows), dropped, {"critic": {**measured, **fitted}} | metrics)


def value_loss(
    new: Float[Tensor, " n"],
    target: Float[Tensor, " n"],
    old: Float[Tensor, " n"],
    clip: float | None,
) -> Float[Tensor, ""]:
    """The clipped squared error of a critic's values, so that one phase moves them a little only:
    mean of 0.5 max((v - R)^2, (v_old + clip(v - v_old) - R)^2).

    `clip` None: mean of 0.5 (v - R)^2. Source: the reference implementation of Schulman et al. 2017
    (baselines, ppo2).
    """
    error = (new - target) ** 2
    if clip is not None:
        error = error.maximum((old + (new - old).clamp(-clip, clip) - target) ** 2)
    return 0.5 * error.mean()


@dataclass(frozen=True)
class CriticFiles:
    """Where the critic that goes with an adapter lies, where its next version goes, and the log of
    its values."""

    before: Path
    after: Path
    values: Path


def critic_files(adapter_dir: Path, values: Path) -> CriticFiles:
    """Files of the critic that goes with the adapter in `adapter_dir`, named `<name>-v<k>`: the
    latest one up to k, since a phase in which the role sat out, or had no rows, leaves none.

    Raises
    ------
    UserError
        The directory has no such name.
    """
    match = re.fullmatch(r"(.+)-v(\d+)", Path(adapter_dir).name)
    if match is None:
        raise UserError(
            f"{adapter_dir}: ppo needs an adapter directory named <name>-v<number>, to name its "
            "critic."
        )
    folder, name, version = Path(adapter_dir).parent, match[1], int(match[2])
    versions = [folder / f"{name}-critic-v{number}" for number in range(version + 2)]
    before = next((path for path in reversed(versions[:-1]) if path.is_dir()), versions[version])
    return CriticFiles(before, versions[-1], values)


@dataclass(frozen=True, eq=False)
class RowCredit:
    """A row's part of its turn's `TurnCredit`: arrays of shape (T,), `seen` None where the turn was
    not followed."""

    advantage: np.ndarray
    returns: np.ndarray
    seen: np.ndarray | None
    next_value: float
    first: bool


def agent_credit(frame: pd.DataFrame, values: Sequence[np.ndarray], config: PPO) -> list[RowCredit]:
    """GAE over the turns of each agent in each episode.

    A call's own costs (tokens, analysis, refusal) are received after its last token, what the turn
    earned after the turn's last token.

    Parameters
    ----------
    frame : DataFrame
        One line a row, as in `PPO.learn`; no completion is empty.
    values : sequence of ndarray, each of shape (T,)
        Before each completion token, in the order of `frame`.
    config : PPO
        Its `gamma` and `gae_lambda`.

    Returns
    -------
    list of RowCredit
        In the order of `frame`.
    """
    frame = frame.reset_index(drop=True)
    scope = [name for name in ("run", "iteration") if name in frame]
    found: dict[int, RowCredit] = {}
    for episode in groups(frame, [*scope, "episode", "role"]):
        turns = [part.sort_values("call") for part in groups(episode, ["branch"])]
        followed = _followed(turns)
        known = [
            _turn(part, values, went_on) for part, went_on in zip(turns, followed, strict=True)
        ]
        credits = episode_credit(known, gamma=config.gamma, lam=config.gae_lambda)
        for part, credit in zip(turns, credits, strict=True):
            found |= _split(part, credit, values)
    return [found[i] for i in range(len(frame))]


def _rows(frame: pd.DataFrame) -> tuple[list[ReplayRow], pd.DataFrame, dict[str, int]]:
    require_columns(frame, _NEEDED, "ppo")
    rows, dropped = replay_rows(with_columns(frame, advantage=0.0, kept=True))
    full = lengths(frame, "completion_ids") > 0
    return rows, chosen(frame, full).reset_index(drop=True), dropped


def _followed(turns: Sequence[pd.DataFrame]) -> list[bool]:
    """Whether the episode went on from each turn; where the rows don't say, from a step's only
    turn."""
    steps = [cells(turn, "step")[0] for turn in turns]
    said = [cells(turn, "followed")[0] if "followed" in turn else None for turn in turns]
    return [
        bool(s) if s in (True, False) else steps.count(step) == 1
        for s, step in zip(said, steps, strict=True)
    ]


def _turn(part: pd.DataFrame, values: Sequence[np.ndarray], followed: bool) -> AgentTurn:
    rewards = [np.zeros(len(values[i])) for i in labels(part)]
    costs = floats(part, "reward_own")
    for tokens, cost in zip(rewards, costs, strict=True):
        tokens[-1] += cost
    rewards[-1][-1] += floats(part, "reward")[-1] - costs[-1]
    flat = np.concatenate([values[i] for i in labels(part)]).astype(np.float64)
    ends = cells(part, "verdict")[-1] == FINISHED
    step = int(integers(part, "step")[0])
    return AgentTurn(step, np.concatenate(rewards), flat, followed, ends)


def _split(
    part: pd.DataFrame, credit: TurnCredit, values: Sequence[np.ndarray]
) -> dict[int, RowCredit]:
    ends = np.cumsum([len(values[i]) for i in labels(part)])
    pieces: dict[int, RowCredit] = {}
    for index, start, end in zip(labels(part), [0, *ends[:-1]], ends, strict=True):
        seen = None if credit.seen is None else credit.seen[start:end]
        advantage, returns = credit.advantage[start:end], credit.returns[start:end]
        pieces[index] = RowCredit(advantage, returns, seen, credit.next_value, bool(start == 0))
    return pieces


def _measure(
    frame: pd.DataFrame, values: Sequence[np.ndarray], credits: Sequence[RowCredit], critic: Critic
) -> Valued:
    """What the values were worth before the fit, on turns whose rewards were all seen."""
    latest = np.ones(len(frame), np.bool_)
    if "iteration" in frame:
        iterations = integers(frame, "iteration")
        latest = iterations == iterations.max()
    held_out = [
        (v, c.seen, c.first) for v, c, new in zip(values, credits, latest, strict=True) if new
    ]
    seen = [(v, s, first) for v, s, first in held_out if s is not None]
    first = [(v[0], s[0]) for v, s, is_first in seen if is_first]
    returns = np.concatenate([credit.returns for credit in credits])
    every = (
        np.concatenate([s for _, s, _ in seen] or [np.zeros(0)]),
        np.concatenate([v for v, _, _ in seen] or [np.zeros(0)]),
    )
    return {
        "turns": sum(credit.first for credit in credits),
        "followed_turns": sum(credit.first and credit.seen is not None for credit in credits),
        "heldout_turns": len(first),
        "explained_variance_heldout": None if critic.fresh else explained_variance(*every),
        "explained_variance_heldout_first": None
        if critic.fresh
        else explained_variance(np.array([s for _, s in first]), np.array([v for v, _ in first])),
        "value_mean": float(np.concatenate(list(values)).mean()),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
    }


def _write_values(
    frame: pd.DataFrame, values: Sequence[np.ndarray], credits: Sequence[RowCredit], path: Path
) -> None:
    table = with_columns(
        of_columns(frame, [name for name in ("run", "iteration", *ROW_KEY) if name in frame]),
        values=[v.astype(np.float32) for v in values],
        returns=[c.returns.astype(np.float32) for c in credits],
        advantage=[c.advantage.astype(np.float32) for c in credits],
        next_value=np.array([c.next_value for c in credits], np.float32),
        followed=[c.seen is not None for c in credits],
    )
    with replacing(path, "the values") as file:
        write_frame(table, file)
