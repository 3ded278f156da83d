"""Rewards as pure functions of outcome facts: one file per component, their sum is the reward.

Rows keep the facts; weights are applied where credit is computed, so the same rows can be scored
again with others.
"""

from marl_llm.rewards.component import Component
from marl_llm.rewards.config import RewardConfig
from marl_llm.rewards.outcome import FACTS, Outcome
from marl_llm.rewards.scoring import reward_columns, score_rows

__all__ = ["FACTS", "Component", "Outcome", "RewardConfig", "reward_columns", "score_rows"]
