"""Where episodes are played and their evaluations run: on this machine, or on a Ray cluster."""

from __future__ import annotations

from marl_llm.rollout.executors.local import LocalExecutor

__all__ = ["LocalExecutor"]
