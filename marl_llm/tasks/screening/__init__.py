"""Traps of a task, found before the agents start: a divided table in, findings with one sentence
each out.
"""

from __future__ import annotations

from marl_llm.tasks.screening.screen import Table, sampled, screen
from marl_llm.tasks.screening.trap import OF_ALL_TARGETS, Trap, TrapKind

__all__ = ["OF_ALL_TARGETS", "Table", "Trap", "TrapKind", "sampled", "screen"]
