"""The environment as other libraries expect one: PettingZoo's agent-environment cycle, and through
it RLlib.

In: a `TeamEnv`. Out: an environment whose actions are the agents' replies and whose observations
are the prompts they read. PettingZoo and Ray are optional: nothing here is loaded before it is
asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marl_llm.core.errors import UserError

if TYPE_CHECKING:
    from marl_llm.interfaces.aec import TeamAECEnv

__all__ = ["TeamAECEnv"]

_OPTIONAL = ("pettingzoo", "gymnasium")


def __getattr__(name: str) -> type[TeamAECEnv]:
    """Import the environment on first use; raises UserError where PettingZoo is not installed."""
    if name != "TeamAECEnv":
        raise AttributeError(f"module 'marl_llm.interfaces' has no attribute {name!r}")
    try:
        from marl_llm.interfaces.aec import TeamAECEnv
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OPTIONAL:
            raise
        raise UserError(
            f"TeamAECEnv needs {missing}, which is not installed: run `pip install "
            "'marl_llm[pettingzoo]'`."
        ) from None
    return TeamAECEnv
