"""Rewards as pure functions of a step's outcome: each component is kept raw, their sum is the reward."""

from marl_llm.rewards.components import (
    RewardComponents,
    data_scientist_reward,
    engineer_reward,
    token_cost,
)
from marl_llm.rewards.config import RewardConfig

__all__ = ["RewardComponents", "RewardConfig", "data_scientist_reward", "engineer_reward", "token_cost"]
