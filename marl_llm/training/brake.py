"""A phase that has moved too far ends, one update back.

The policy's divergence from the one that the phase started from is seen on each batch before its
update, so what an update did is known one step later, and of the last one after the phase. Where it
is above the limit, the adapter is set back to what it was before that update.
"""

from __future__ import annotations

from collections import deque

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class KLBrake(TrainerCallback):
    """Watches one trainer.

    Parameters
    ----------
    model : torch.nn.Module
        Its trainable parameters are what is set back; two copies of them are kept.
    limit : float
        Largest divergence, nats per token.

    Attributes
    ----------
    undone : int
        Updates that were taken back.
    """

    def __init__(self, model: torch.nn.Module, limit: float) -> None:
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._limit, self._seen = limit, 0.0
        self._before: deque[list[torch.Tensor]] = deque(maxlen=2)
        self.undone = 0

    def saw(self, divergence: float) -> None:
        """Take note of a batch's mean divergence (nats per token), as it is before the update it
        belongs to.
        """
        self._seen = max(self._seen, divergence)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Keep what an update starts from."""
        self._seen = 0.0
        self._before.append([parameter.detach().clone() for parameter in self._trained])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The update before this one went too far: take both back, and end the phase."""
        if self._seen > self._limit:
            control.should_training_stop = True
            self.step_back()
            self.step_back()

    def step_back(self) -> bool:
        """Take the last update back; False if none is known."""
        if not self._before:
            return False
        with torch.no_grad():
            for parameter, before in zip(self._trained, self._before.pop(), strict=True):
                parameter.copy_(before)
        self.undone += 1
        return True

    def too_far(self, divergence: float) -> bool:
        """Whether the phase may not end here."""
        return divergence > self._limit
