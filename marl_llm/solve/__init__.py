"""A person's own CSV: improve a model on it (`solve_csv`), or evaluate one file of theirs likewise (`score_file`)."""

from marl_llm.solve.report import SolveReport
from marl_llm.solve.score import score_file
from marl_llm.solve.solve import solve_csv

__all__ = ["SolveReport", "score_file", "solve_csv"]
