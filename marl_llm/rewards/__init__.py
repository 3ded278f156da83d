"""Rewards as pure functions of a step's outcome: each component is kept raw, their sum is the reward."""

from marl_llm.rewards.components import (
    RewardComponents,
    cpu_cost,
    data_scientist_reward,
    engineer_reward,
    refusal_cost,
    token_cost,
)
from marl_llm.rewards.config import RewardConfig

__all__ = [
    "RewardComponents",
    "RewardConfig",
    "cpu_cost",
    "data_scientist_reward",
    "engineer_reward",
    "refusal_cost",
    "token_cost",
]
