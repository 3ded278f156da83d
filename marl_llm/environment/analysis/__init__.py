"""Answers to the Data Scientist's queries: short text computed from development rows alone, under a
token budget.

In: a typed query and an `AnalysisView` of the task and the current model. Out: one string, the same
every time. Labels of the hold-out and test parts never enter here.
"""

from __future__ import annotations

from marl_llm.environment.analysis.answers import answer
from marl_llm.environment.analysis.view import DEFAULT_BUDGET, AnalysisView

__all__ = ["DEFAULT_BUDGET", "AnalysisView", "answer"]
