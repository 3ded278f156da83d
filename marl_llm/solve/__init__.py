"""A person's own CSV: improve a model on it (`solve_task`), or evaluate one file of theirs likewise
(`score_file`), or load what was fitted (`load_model`).
"""

from marl_llm.solve.directory import read_memory
from marl_llm.solve.report import SolveReport
from marl_llm.solve.score import score_file
from marl_llm.solve.solve import solve_task
from marl_llm.solve.versions import load_model

__all__ = ["SolveReport", "load_model", "read_memory", "score_file", "solve_task"]
