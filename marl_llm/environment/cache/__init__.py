"""What candidates predicted, kept on disk and shared by all processes, under keys of all that it
depends on.
"""

from marl_llm.environment.cache.evaluation_cache import PASSING, EvaluationCache

__all__ = ["PASSING", "EvaluationCache"]
