"""A trainer's steps: reported to whoever watches as they happen, and read back at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

OnStep = Callable[[int, int, float], None]
"""Called after each optimizer step with the step's number from 1, the number of steps, and the loss."""


def logged_steps(trainer: Any) -> list[dict[str, float]]:
    """What a trainer logged of each optimizer step of its phase; of a resumed phase also the steps before."""
    return [entry for entry in trainer.state.log_history if "loss" in entry]


class StepReport(TrainerCallback):
    """Reports each logged step."""

    def __init__(self, on_step: OnStep | None = None) -> None:
        self._on_step = on_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Report one step; the summary that transformers logs at the end has no `loss` and is passed over."""
        if self._on_step is not None and logs is not None and "loss" in logs:
            self._on_step(state.global_step, state.max_steps, float(logs["loss"]))
