"""Learning from logged rows: rows with advantages and one role's adapter go in, the next version of that adapter comes
out.

`train_role` trains one role, `worker` does so in a process of its own, `adapters` makes and publishes adapter
directories. Importing this package is light; torch, transformers and TRL are imported by the functions that need them.
It knows no environment and no model server: rewards have already become advantages in `marl_llm.credit`. GRPO is here;
PPO, SFT and DPO will be further trainers beside `replay_grpo`.
"""

from __future__ import annotations

from marl_llm.training.config import TrainConfig
from marl_llm.training.gate import IntegrityError

__all__ = ["IntegrityError", "TrainConfig"]
