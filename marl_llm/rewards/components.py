"""The reward components of both roles.

What counts as gain: the skill gained over the previous accepted model, if the change was done as asked and the gain
is significant; otherwise the previous model is kept and the step's gain is zero. So no role can earn by luck, and
failing is never better than carrying out a bad suggestion.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from marl_llm.rewards.config import RewardConfig

RUNGS = 4
"""Parsed, built, fitted, predicted."""


@dataclass(frozen=True)
class RewardComponents:
    """Raw components, in units of skill; penalties and costs are negative or zero."""

    metric_delta: float = 0.0
    no_gain: float = 0.0
    compliance: float = 0.0
    failure: float = 0.0
    redundant: float = 0.0

    @property
    def total(self) -> float:
        """What all calls of the turn share; token costs come on top, call by call."""
        return sum(asdict(self).values())


def data_scientist_reward(
    config: RewardConfig,
    *,
    proposed: bool,
    valid: bool,
    redundant: bool,
    implemented: bool,
    step_gain: float | None,
    reference_gain: float | None,
) -> RewardComponents:
    """The Data Scientist's reward for one turn.

    Parameters
    ----------
    proposed : bool
        The turn ended with a proposal; False for `finish`, which risks nothing and earns what a blend gains.
    valid : bool
        The action could be read and carried out.
    redundant : bool
        Memory already answers it.
    implemented : bool
        The Engineer did what was asked; otherwise, under `credit: step`, the outcome says nothing about the suggestion.
    step_gain, reference_gain : float or None
        Significant skill gain of the Engineer's and of the reference implementation; 0 if not significant, None if
        nothing was measured.
    """
    if not valid:
        return RewardComponents(failure=-config.invalid_penalty)
    gain = reference_gain if config.credit == "reference" else (step_gain if implemented else None)
    if not proposed:
        return RewardComponents(metric_delta=config.gain_weight * max(0.0, gain or 0.0))
    if redundant:
        return RewardComponents(redundant=-config.redundant_penalty)
    if gain is None:
        return RewardComponents()
    if gain <= 0:
        return RewardComponents(no_gain=-config.no_gain_penalty)
    return RewardComponents(metric_delta=config.gain_weight * gain)


def engineer_reward(
    config: RewardConfig, *, rungs: int, ran: bool, compliance: float, step_gain: float
) -> RewardComponents:
    """The Engineer's reward for one turn.

    Parameters
    ----------
    rungs : int
        Rungs reached of parsed, built, fitted, predicted (0 to 4).
    ran : bool
        The code predicted on every fold.
    compliance : float
        Share of what was asked that was done, in [0, 1].
    step_gain : float
        Significant gain of a compliant implementation, else 0.
    """
    if not ran:
        softened = config.failure_penalty - config.rung_bonus * min(rungs, RUNGS)
        return RewardComponents(failure=-max(0.0, softened))
    return RewardComponents(
        metric_delta=config.gain_weight * max(0.0, step_gain), compliance=-config.compliance_penalty * (1 - compliance)
    )


def token_cost(config: RewardConfig, prompt_tokens: int, completion_tokens: int) -> float:
    """Cost of one model call, zero or negative; both counts in tokens."""
    price = config.prompt_token_price * prompt_tokens + config.completion_token_price * completion_tokens
    return -price


def cpu_cost(config: RewardConfig, seconds: float) -> float:
    """Cost of the Data Scientist's analyses, zero or negative; processor time in seconds."""
    return -config.cpu_second_price * seconds


def refusal_cost(config: RewardConfig, refused: bool) -> float:
    """Cost of a Data Scientist's call that was refused and corrected afterwards, zero or negative.

    The turn earns what its last action comes to, and all its calls share that. If that were all, an unreadable first
    reply would cost nothing but tokens, and would be learned along with what its correction gained. So the refused call
    pays for itself what an invalid action costs: the same action is worth more said right at once than after a
    correction, and no correction is worth less than a second invalid action.
    """
    return -config.invalid_penalty if refused else 0.0
