"""Comparing teams and baselines on tasks no team was trained on: arms, statistics, one table with
its uncertainty.
"""

from __future__ import annotations

from marl_llm.evaluation.arms import ARMS
from marl_llm.evaluation.render import report_text, to_markdown
from marl_llm.evaluation.report import EvaluationReport, load_report
from marl_llm.evaluation.run import (
    Question,
    evaluate_procedural,
    evaluate_suite,
    evaluate_versions,
)

__all__ = [
    "ARMS",
    "EvaluationReport",
    "Question",
    "evaluate_procedural",
    "evaluate_suite",
    "evaluate_versions",
    "load_report",
    "report_text",
    "to_markdown",
]
