"""Outcomes for tests: one of each kind, without tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.rewards import Outcome

SUGGESTED = Outcome(role=DATA_SCIENTIST, verdict="no_gain", new_reference_gain=0.0, step_gain=0.0)
FINISHED = Outcome(role=DATA_SCIENTIST, verdict="finished")
INVALID = Outcome(role=DATA_SCIENTIST, verdict="invalid")
REDUNDANT = Outcome(role=DATA_SCIENTIST, verdict="redundant")
ANALYSED = Outcome(role=DATA_SCIENTIST, verdict="finished", analysis_cpu_s=5.0)
REFUSED = Outcome(role=DATA_SCIENTIST, verdict="finished", refused=True)
DONE = Outcome(role=ML_ENGINEER, verdict="no_gain", compliance=1.0, step_gain=0.0, rungs=4)
FAILED = Outcome(role=ML_ENGINEER, verdict="failed", step_gain=0.0, rungs=0)


def changed(outcome: Outcome, **facts: Any) -> Outcome:
    """`outcome` with other facts."""
    return replace(outcome, **facts)
