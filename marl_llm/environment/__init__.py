"""The environment: step, evaluation, analysis, compliance, memory. No model server, no torch."""

from marl_llm.core.verdict import Verdict
from marl_llm.environment.card import TaskCard, describe_task
from marl_llm.environment.config import EnvironmentConfig
from marl_llm.environment.evaluator import Evaluated, Evaluator
from marl_llm.environment.memory import Memory, MemoryEntry
from marl_llm.environment.state import Implementation, State, StepOutcome, Suggestion
from marl_llm.environment.team_env import TeamEnv

__all__ = [
    "EnvironmentConfig",
    "Evaluated",
    "Evaluator",
    "Implementation",
    "Memory",
    "MemoryEntry",
    "State",
    "StepOutcome",
    "Suggestion",
    "TaskCard",
    "TeamEnv",
    "Verdict",
    "describe_task",
]
