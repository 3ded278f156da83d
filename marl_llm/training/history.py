"""A trainer's steps as they happen: each logged step is kept as numbers and reported to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

OnStep = Callable[[int, int, float], None]
"""Called after each optimizer step with the step's number from 1, the number of steps, and the loss."""


class StepHistory(TrainerCallback):
    """Keeps the numbers of each step in `steps`: one dict a step with `step` (from 1), `loss` and what was logged."""

    def __init__(self, on_step: OnStep | None = None) -> None:
        self.steps: list[dict[str, float]] = []
        self._on_step = on_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Keep one step; the summary that transformers logs at the end has no `loss` and is passed over."""
        if logs is None or "loss" not in logs:
            return
        numbers = {name: float(value) for name, value in logs.items() if isinstance(value, (int, float))}
        self.steps.append({"step": float(state.global_step), **numbers})
        if self._on_step is not None:
            self._on_step(state.global_step, state.max_steps, numbers["loss"])
