"""GRPO: the advantage of a completion is its reward minus the mean reward of its group.

*Rows*: all that credit kept; rows of older adapters too (`max_age`), with truncated importance
weights. *Credit*: the group-relative advantage of the recipe's `credit` section, the same on every
token of a completion; a group of one, or of equals, teaches nothing and is left out. *Loss*: with
r = pi / pi_old, the clipped surrogate

    -min(r A, clip(r, 1 - epsilon_low, 1 + epsilon_high) A) + beta KL(pi || base)

averaged as `loss_type` says. The variants that TRL knows are here too: they differ in how far a
ratio may act, and in what tokens are averaged over. RLOO and PPO share this loss; what they differ
in is what A means.

References
----------
grpo : Shao et al. 2024, "DeepSeekMath".
bnpo, dapo : Yu et al. 2025, "DAPO": mean over the tokens of a step, a wider upper clip.
dr_grpo : Liu et al. 2025, "Understanding R1-Zero-like Training": a constant in place of lengths.
cispo : MiniMax 2025, "MiniMax-M1": REINFORCE with a truncated weight, no token without gradient.
sapo : Gao et al. 2025, "Soft Adaptive Policy Optimization": a sigmoid in place of the clip.
luspo : "Length-Unbiased Sequence Policy Optimization", 2026: sequence ratios, sum over tokens.
vespo : "Variational Sequence-Level Soft Policy Optimization", 2026: a gamma weight of the
    sequence's ratio.
importance_sampling_level: sequence : Zheng et al. 2025, "Group Sequence Policy Optimization".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from marl_llm.algorithms.base import PolicyGradient
from marl_llm.training.loss import PieceLoss, StepSize, Tokens, mean_over_tokens

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Shaped
    from torch import Tensor

LossType = Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]
Level = Literal["token", "sequence"]

SAPO_TEMPERATURES = 1.0, 1.05
"""Of sapo's sigmoid, where the advantage is positive and elsewhere."""
VESPO_GAMMA = (2.0, 3.0), (3.0, 2.0)
"""vespo's k and lambda, where the advantage is not negative and elsewhere."""


class Surrogate(PolicyGradient, frozen=True):
    """A policy gradient by the clipped surrogate loss, or a variant of it."""

    loss_type: LossType = Field(
        default="dapo",
        description="the loss of a token, and how tokens are averaged: dapo = clipped, mean over "
        "all tokens of a step",
    )
    importance_sampling_level: Level = Field(
        default="token",
        description="ratio per token, or one per completion (GSPO: with loss_type grpo)",
    )
    epsilon_low: float = Field(default=0.2, gt=0, description="the ratio is clipped at 1 - this")
    epsilon_high: float = Field(
        default=0.28,
        gt=0,
        description="the ratio is clipped at 1 + this (cispo: the largest weight itself)",
    )
    beta: float = Field(
        default=0.0,
        ge=0,
        description="weight of the KL divergence to the base model, nats; 0 saves a pass",
    )
    max_completion_tokens: int = Field(
        default=512, ge=1, description="tokens; the constant that dr_grpo divides by"
    )

    @model_validator(mode="after")
    def _weights_need_a_clipped_loss(self) -> Surrogate:
        # Folding w >= 0 into the advantage commutes with min(rA, clip(r)A); vespo uses its weights
        # in another place.
        if self.loss_type == "vespo" and self.weight_cap is not None:
            raise ValueError(
                "loss_type vespo cannot carry truncated importance weights: set old_logps to "
                "logged, or tis_cap to null"
            )
        return self

    @property
    def needs_reference(self) -> bool:
        """For the KL term."""
        return self.beta != 0.0

    def loss(self, tokens: Tokens, step: StepSize) -> PieceLoss:
        """See `surrogate_loss`."""
        return surrogate_loss(tokens, step, self)


class GRPO(Surrogate, frozen=True):
    """Group-relative policy optimisation."""

    algorithm: Literal["grpo"] = "grpo"


def surrogate_loss(tokens: Tokens, step: StepSize, rule: Surrogate) -> PieceLoss:
    """The loss of the configured type.

    Parameters
    ----------
    tokens : Tokens
    step : StepSize
    rule : Surrogate
        Its `loss_type`, `importance_sampling_level`, `epsilon_low`, `epsilon_high`, `beta` and
        `max_completion_tokens`.

    Returns
    -------
    PieceLoss
        With the figures "clip_share", for the types that clip, and with beta "kl_base", nats.
    """
    log_ratio = tokens.logps - tokens.old
    ratio = importance_ratio(log_ratio, tokens.mask, rule.importance_sampling_level)
    figures: dict[str, Shaped[Tensor, "rows _"]] = {}
    if rule.loss_type == "cispo":
        loss, clipped = truncated_reinforce(
            tokens.logps, ratio, tokens.advantage, rule.epsilon_high
        )
        figures["clip_share"] = clipped
    elif rule.loss_type == "sapo":
        loss = soft_surrogate(ratio, tokens.advantage)
    elif rule.loss_type == "vespo":
        loss = gamma_reinforce(tokens.logps, log_ratio, tokens.advantage, tokens.mask)
    else:
        low, high = 1 - rule.epsilon_low, 1 + rule.epsilon_high
        loss, clipped = clipped_surrogate(ratio, tokens.advantage, low, high)
        figures["clip_share"] = clipped
    if tokens.reference is not None and rule.beta != 0.0:
        figures["kl_base"] = kl_to_base(tokens.logps, tokens.reference, ratio)
        loss = loss + rule.beta * figures["kl_base"]
    value = average(loss, tokens.mask, step, rule.loss_type, rule.max_completion_tokens)
    return PieceLoss(value, figures)


def importance_ratio(
    log_ratio: Float[Tensor, "rows tokens"], mask: Shaped[Tensor, "rows tokens"], level: Level
) -> Float[Tensor, "rows _"]:
    """r = pi / pi_old of each token, or of each completion the geometric mean, shape (B, 1)."""
    if level == "sequence":
        tokens = mask.sum(-1, keepdim=True).clamp(min=1.0)
        log_ratio = (log_ratio * mask).sum(-1, keepdim=True) / tokens
    return log_ratio.exp()


def clipped_surrogate(
    ratio: Float[Tensor, "rows _"],
    advantage: Float[Tensor, "rows tokens"],
    low: float,
    high: float,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    """-min(r A, clip(r, low, high) A), and where the clip takes the gradient away: r above `high`
    where A > 0, below `low` where A < 0. Schulman et al. 2017, equation 7."""
    loss = -(ratio * advantage).minimum(ratio.clamp(low, high) * advantage)
    clipped = ((ratio > high) & (advantage > 0)) | ((ratio < low) & (advantage < 0))
    return loss, clipped


def truncated_reinforce(
    logps: Float[Tensor, "rows tokens"],
    ratio: Float[Tensor, "rows _"],
    advantage: Float[Tensor, "rows tokens"],
    largest: float,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    """cispo: -min(r, largest) A log pi, no gradient through the weight; and where r > largest and
    A > 0."""
    weight = ratio.clamp(max=largest).detach()
    return -weight * advantage * logps, (ratio > largest) & (advantage > 0)


def soft_surrogate(
    ratio: Float[Tensor, "rows _"], advantage: Float[Tensor, "rows tokens"]
) -> Float[Tensor, "rows tokens"]:
    """sapo: -4 / t sigmoid(t (r - 1)) A, with a temperature t for each sign of A."""
    up, down = SAPO_TEMPERATURES
    heat = advantage.new_tensor(up).where(advantage > 0, advantage.new_tensor(down))
    return -((heat * (ratio - 1)).sigmoid() * 4 / heat) * advantage


def gamma_reinforce(
    logps: Float[Tensor, "rows tokens"],
    log_ratio: Float[Tensor, "rows tokens"],
    advantage: Float[Tensor, "rows tokens"],
    mask: Shaped[Tensor, "rows tokens"],
) -> Float[Tensor, "rows tokens"]:
    """vespo: -phi(w) A log pi with w the product of a completion's ratios and phi(w) = e^l w^k
    e^(-l w), no gradient through it; k and l for each sign of A."""
    (k_up, rate_up), (k_down, rate_down) = VESPO_GAMMA
    total = (log_ratio.detach().clamp(-20.0, 20.0) * mask).sum(-1, keepdim=True)
    log_weight, up = total.clamp(math.log(1e-8), 20.0), advantage >= 0
    k = advantage.new_tensor(k_up).where(up, advantage.new_tensor(k_down))
    rate = advantage.new_tensor(rate_up).where(up, advantage.new_tensor(rate_down))
    phi = (rate + k * log_weight - rate * log_weight.exp()).exp()
    return -phi.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) * advantage * logps


def kl_to_base(
    logps: Float[Tensor, "rows tokens"],
    reference: Float[Tensor, "rows tokens"],
    ratio: Float[Tensor, "rows _"],
) -> Float[Tensor, "rows tokens"]:
    """KL(pi || base) per token, nats: Schulman's k3 times the ratio, which corrects for tokens that
    pi_old sampled (DeepSeek-V3.2, 2025)."""
    difference = reference - logps
    return (difference.exp() - difference - 1) * ratio


def average(
    loss: Float[Tensor, "rows _"],
    mask: Shaped[Tensor, "rows tokens"],
    step: StepSize,
    loss_type: LossType,
    longest: int,
) -> Float[Tensor, ""]:
    """A piece's part of the step's loss.

    dapo, bnpo, cispo, vespo: mean over the step's tokens. grpo, sapo: mean over completions of the
    mean over their tokens. luspo: mean over completions of the sum. dr_grpo: as luspo, divided by
    `longest`, the maximum number of tokens.
    """
    if loss_type in ("grpo", "sapo"):
        lengths = mask.sum(-1).clamp(min=1.0)
        return ((loss * mask).sum(-1) / lengths).sum() / step.rows
    if loss_type == "luspo":
        return (loss * mask).sum() / step.rows
    if loss_type == "dr_grpo":
        return (loss * mask).sum() / (step.rows * longest)
    return mean_over_tokens(loss, mask, step)
