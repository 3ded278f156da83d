"""Tasks: a CSV, a frame, a suite or a seed in; a `Task` with three disjoint parts of rows out.
Knows no estimator.
"""

from __future__ import annotations

from marl_llm.tasks.parts import Column, Part
from marl_llm.tasks.procedural import procedural_frame, procedural_task
from marl_llm.tasks.suite import TaskFile, load_suite
from marl_llm.tasks.task import Task

__all__ = [
    "Column",
    "Part",
    "Task",
    "TaskFile",
    "load_suite",
    "procedural_frame",
    "procedural_task",
]
