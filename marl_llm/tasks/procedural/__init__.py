"""Training tasks without end: a seed in, a table with a known kind of truth out."""

from __future__ import annotations

from marl_llm.tasks.procedural.generator import procedural_frame, procedural_task

__all__ = ["procedural_frame", "procedural_task"]
