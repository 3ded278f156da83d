"""The engine: rows with advantages, one role's adapter and an algorithm go in, the next version of
that adapter comes out. It knows no algorithm by name; they are in `marl_llm.algorithms`.

`train_role` trains one role, `policy_phase` behind the integrity gate, `replay` on any rows by any
loss, `pair_phase` on pairs; `critic` is a value function of its own; `trl_adapter` is where TRL is
touched; `adapters` makes and publishes adapter directories. Importing this room is light: torch,
transformers and TRL are imported by the functions that need them. It knows no environment and no
model server: rewards have already become advantages in `marl_llm.credit`.
"""

from __future__ import annotations

from marl_llm.training.gate import IntegrityError

__all__ = ["IntegrityError"]
