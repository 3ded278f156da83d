"""One algorithm, one file: its keys of the recipe, which rows it wants, what credit means to it,
and its loss as a pure function. `README.md` shows how to add one.

They stand on `marl_llm.training`, the engine, which knows none of them by name, and on the
advantages of `marl_llm.credit`. Importing this room is light: torch and TRL are imported by what
trains.
"""

from __future__ import annotations

from marl_llm.algorithms.base import Algorithm, PolicyGradient
from marl_llm.algorithms.dpo import DPO
from marl_llm.algorithms.grpo import GRPO
from marl_llm.algorithms.ppo import PPO
from marl_llm.algorithms.registry import AnyAlgorithm
from marl_llm.algorithms.rloo import RLOO
from marl_llm.algorithms.sft import SFT

__all__ = ["DPO", "GRPO", "PPO", "RLOO", "SFT", "Algorithm", "AnyAlgorithm", "PolicyGradient"]
