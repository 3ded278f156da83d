"""Two local open-weight language models, a Data Scientist and an ML Engineer, learn to improve
models on your data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marl_llm.environment import TeamEnv
    from marl_llm.tasks import Task

__all__ = ["Task", "TeamEnv"]


def __getattr__(name: str) -> type[Task] | type[TeamEnv]:
    """Import the two public names on first use, so that a command starts without pandas."""
    if name == "Task":
        from marl_llm.tasks import Task

        return Task
    if name == "TeamEnv":
        from marl_llm.environment import TeamEnv

        return TeamEnv
    raise AttributeError(f"module 'marl_llm' has no attribute {name!r}")
