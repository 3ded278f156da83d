"""A trainer's steps: reported to whoever watches as they happen, and read back at the end."""

from __future__ import annotations

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from marl_llm.training.phase import OnStep

FIGURE = "replay/"
"""Begins the names of the figures that our trainer adds to a step's log."""
_STEP = ("step", "loss", "learning_rate", "grad_norm")


def logged_steps(trainer: Trainer) -> list[dict[str, float]]:
    """What a trainer logged of each optimizer step of its phase; of a resumed one also before."""
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def history_of(steps: list[dict[str, float]]) -> list[dict[str, float]]:
    """One dict per step: step, loss, learning_rate, grad_norm, and our trainer's figures."""
    return [
        {
            name.removeprefix(FIGURE): value
            for name, value in entry.items()
            if name in _STEP or name.startswith(FIGURE)
        }
        for entry in steps
    ]


class StepReport(TrainerCallback):
    """Reports each logged step."""

    def __init__(self, on_step: OnStep | None = None) -> None:
        self._on_step = on_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Report one step; the summary that transformers logs at the end has no `loss`."""
        if self._on_step is not None and logs is not None and "loss" in logs:
            self._on_step(state.global_step, state.max_steps, float(logs["loss"]))
